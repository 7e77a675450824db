"""Sets what one video may cost (section `limits`) for a stage. It moves no number, so no stage hangs on it."""

from collections.abc import Callable

from moclip.params.compute import LimitsParams
from moclip.video.bounded.limits import Limits, use

LIMITS = "limits"


def limit_videos(section: Callable[[str, type[LimitsParams]], LimitsParams]) -> None:
    """Take the limits from the parameters, which `section` reads."""
    use(Limits(**section(LIMITS, LimitsParams).model_dump()))
