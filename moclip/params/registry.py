"""The sections of the parameters that belong to no head, with their models; `moclip.heads.registry` adds the others."""

from collections.abc import Mapping
from typing import Any

from moclip.base.errors import ParamsError
from moclip.params.clip import ClipParams
from moclip.params.compute import ComputeParams, LimitsParams
from moclip.params.data import DataParams
from moclip.params.demo import DemoParams
from moclip.params.demo_clip import DemoClipParams
from moclip.params.evaluate import EvaluateParams
from moclip.params.frames import FramesParams, SearchParams
from moclip.params.motion import MotionParams
from moclip.params.motion_net import MotionNetParams, MotionPretrainParams
from moclip.params.run import Related, Seed, SeedsParams, Splits
from moclip.params.section import validated

MODELS: dict[str, Any] = {
    "seed": Seed,
    "seeds": SeedsParams,
    "splits": Splits,
    "data": DataParams,
    "demo": DemoParams,
    "motion": MotionParams,
    "motion_net": MotionNetParams,
    "motion_pretrain": MotionPretrainParams,
    "clip": ClipParams,
    "demo_clip": DemoClipParams,
    "related": Related,
    "frames": FramesParams,
    "search": SearchParams,
    "evaluate": EvaluateParams,
    "compute": ComputeParams,
    "limits": LimitsParams,
}


def check_all(params: Mapping[str, Any], models: Mapping[str, Any]) -> None:
    """Validate a whole parameters file against the models of all sections.

    Raises:
        ParamsError: a section is unknown or missing, or a value breaks a rule; all of them are named.
    """
    faults = [f"parameter '{name}': no such section" for name in params if name not in models]
    for name, model in models.items():
        try:
            if name not in params:
                raise ParamsError(f"parameter '{name}': required, but missing")
            validated(name, model, params[name])
        except ParamsError as error:
            faults.append(str(error))
    if faults:
        raise ParamsError("\n".join(faults))
