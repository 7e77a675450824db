"""Whether a stage fits each head that `heads` lists: DVC would only say which file is not there."""

from moclip.base.errors import ParamsError
from moclip.heads.registry import Heads
from stages._entry import all_params, section
from stages.dvc.graph import GRAPHS, inputs


def check_heads() -> None:
    """Refuse a head that is unknown, or that no stage fits.

    Raises:
        ParamsError: names it, and what to do.
    """
    needed = inputs(all_params())
    if lacking := [head for head in section("heads", Heads) if f"preds/{head}" in needed]:
        raise ParamsError(
            f"parameter 'heads': {GRAPHS[1]} has no stage that writes preds/{lacking[0]}; add it, by "
            "moclip/heads/README.md, or take the head out of `heads`"
        )
