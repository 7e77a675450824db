"""The head `group_resampler`: the same learned queries read one group of frames after the other.

Order survives between groups; what repeats itself within one is squeezed out. After TinyLLaVA-Video (arXiv 2501.15513).
"""

from typing import Any

from moclip.heads.fitted import Seed, Videos
from moclip.heads.frames import OnEpoch
from moclip.heads.token_net import GROUP_RESAMPLER
from moclip.heads.tokens import OnTokens, fit_tokens, load
from moclip.heads.train import ignore
from moclip.params.heads.tokens import TokenParams

__all__ = ["fit", "load"]


def fit(videos: Videos, params: TokenParams, seed: Seed, on_epoch: OnEpoch = ignore, **_: Any) -> OnTokens:
    """Train on the streams that `params.inputs` names; raises as `moclip.heads.tokens.fit_tokens`."""
    return fit_tokens(GROUP_RESAMPLER, videos, params, seed, on_epoch)
