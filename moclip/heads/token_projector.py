"""The head `token_projector`: tokens of CLIP, then of motion, projected and mixed with their neighbours.

After Mobile-VideoGPT (arXiv 2503.21782), without its language model.
"""

from typing import Any

from moclip.heads.fitted import Seed, Videos
from moclip.heads.frames import OnEpoch
from moclip.heads.token_net import TOKEN_PROJECTOR
from moclip.heads.tokens import OnTokens, fit_tokens, load
from moclip.heads.train import ignore
from moclip.params.heads.tokens import TokenParams

__all__ = ["fit", "load"]


def fit(videos: Videos, params: TokenParams, seed: Seed, on_epoch: OnEpoch = ignore, **_: Any) -> OnTokens:
    """Train on the streams that `params.inputs` names; raises as `moclip.heads.tokens.fit_tokens`."""
    return fit_tokens(TOKEN_PROJECTOR, videos, params, seed, on_epoch)
