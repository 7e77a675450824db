"""All sections of the parameters with their models: the one list of what params.yaml may hold."""

from typing import Any

from moclip.base.errors import ParamsError
from moclip.params.clip import ClipParams, DemoClipParams
from moclip.params.compute import ComputeParams
from moclip.params.controls import LinearProbeParams, MetadataOnlyParams, ScoreAverageParams
from moclip.params.data import DataParams, DemoParams
from moclip.params.evaluate import EvaluateParams
from moclip.params.motion import MotionParams
from moclip.params.run import Heads, Seed, Splits
from moclip.params.section import validated
from moclip.params.training import HeadParams, MotionNetParams

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
