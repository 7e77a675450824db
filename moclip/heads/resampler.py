"""The head `resampler`: learned queries read the tokens of all frames at once.

The control of `group_resampler`: as many tokens, each free to look at any frame.
"""

from typing import Any

from moclip.heads.fitted import Seed, Videos
from moclip.heads.frames import OnEpoch
from moclip.heads.token_net import RESAMPLER
from moclip.heads.tokens import OnTokens, fit_tokens, load
from moclip.heads.train import ignore
from moclip.params.heads.tokens import TokenParams

__all__ = ["fit", "load"]


def fit(videos: Videos, params: TokenParams, seed: Seed, on_epoch: OnEpoch = ignore, **_: Any) -> OnTokens:
    """Train on the streams that `params.inputs` names; raises as `moclip.heads.tokens.fit_tokens`."""
    return fit_tokens(RESAMPLER, videos, params, seed, on_epoch)
