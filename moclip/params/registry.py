"""All sections of the parameters with their models: the one list of what params.yaml may hold."""

from typing import Any

from moclip.base.errors import ParamsError
from moclip.params.clip import ClipParams
from moclip.params.compute import ComputeParams
from moclip.params.data import DataParams
from moclip.params.demo import DemoParams
from moclip.params.demo_clip import DemoClipParams
from moclip.params.evaluate import EvaluateParams
from moclip.params.heads.fusion import HeadParams
from moclip.params.heads.linear_probe import LinearProbeParams
from moclip.params.heads.metadata_only import MetadataOnlyParams
from moclip.params.heads.score_average import ScoreAverageParams
from moclip.params.motion import MotionParams
from moclip.params.motion_net import MotionNetParams
from moclip.params.run import Heads, Seed, Splits
from moclip.params.section import validated

MODELS: dict[str, Any] = {
    "seed": Seed,
    "splits": Splits,
    "heads": Heads,
    "data": DataParams,
    "demo": DemoParams,
    "motion": MotionParams,
    "motion_net": MotionNetParams,
    "clip": ClipParams,
    "demo_clip": DemoClipParams,
    "fusion": HeadParams,
    "linear_probe": LinearProbeParams,
    "metadata_only": MetadataOnlyParams,
    "score_average": ScoreAverageParams,
    "evaluate": EvaluateParams,
    "compute": ComputeParams,
}


def check_all(params: dict[str, Any]) -> None:
    """Validate a whole parameters file.

    Raises:
        ParamsError: a section is unknown or missing, or a value breaks a rule; all of them are named.
    """
    faults = [f"parameter '{name}': no such section" for name in params if name not in MODELS]
    for name, model in MODELS.items():
        try:
            if name not in params:
                raise ParamsError(f"parameter '{name}': required, but missing")
            validated(name, model, params[name])
        except ParamsError as error:
            faults.append(str(error))
    if faults:
        raise ParamsError("\n".join(faults))
