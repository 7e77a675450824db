"""What the demo data set holds: its size, its twelve classes and the words for them."""

from dataclasses import dataclass
from types import MappingProxyType

from moclip.base.errors import ParamsError
from moclip.demo.figures import ANY_DRESS, DressCode

SPLITS = 3
BLOCK_PX = 16
MIN_FRAMES = 2


@dataclass(frozen=True)
class Appearance:
    """What a single frame shows.

    Attributes:
        thing: What the athlete has, in words of captions and prompts.
        place: Where, in words of captions and prompts.
        scene: The function of `scenes` that paints the place.
        prop: The function of `props` that draws the thing.
        both_hands: Whether the far hand holds one as well.
        dress: What the athlete may wear.
    """

    thing: str
    place: str
    scene: str
    prop: str
    both_hands: bool = False
    dress: DressCode = ANY_DRESS


APPEARANCES: MappingProxyType[str, Appearance] = MappingProxyType(
    {
        "tennis": Appearance(
            thing="a tennis racket",
            place="on a tennis court",
            scene="tennis_court",
            prop="racket",
            dress=DressCode(headwear=("band", "cap", "none")),
        ),
        "boxing": Appearance(
            thing="boxing gloves",
            place="in a boxing ring",
            scene="boxing_ring",
            prop="glove",
            both_hands=True,
        ),
        "dance": Appearance(
            thing="a cane and a top hat",
            place="on a theatre stage",
            scene="stage",
            prop="cane",
            dress=DressCode(headwear=("top_hat",)),
        ),
        "diving": Appearance(
            thing="a swimming cap",
            place="at a swimming pool",
            scene="pool",
            prop="empty",
            dress=DressCode(headwear=("swim_cap",), bare_chest=True),
        ),
        "dumbbell": Appearance(
            thing="dumbbells",
            place="in a gym",
            scene="gym",
            prop="dumbbell",
            both_hands=True,
            dress=DressCode(headwear=("none", "band")),
        ),
        "cricket": Appearance(
            thing="a cricket bat",
            place="on a cricket lawn",
            scene="lawn",
            prop="cricket_bat",
            dress=DressCode(headwear=("cap", "none")),
        ),
    }
)

# class: (appearance, movement). A closed chain: every appearance and every movement belongs to exactly two classes.
PAIRS: MappingProxyType[str, tuple[str, str]] = MappingProxyType(
    {
        "BoxingFootwork": ("boxing", "run_on_the_spot"),
        "BoxingWindmill": ("boxing", "arm_circles"),
        "CricketDrive": ("cricket", "overhead_swing"),
        "CricketPull": ("cricket", "side_swing"),
        "DivingBounce": ("diving", "jump"),
        "DivingCrouch": ("diving", "squat"),
        "DumbbellCircles": ("dumbbell", "arm_circles"),
        "DumbbellSquat": ("dumbbell", "squat"),
        "TapDanceJump": ("dance", "jump"),
        "TapDanceSway": ("dance", "side_swing"),
        "TennisFootwork": ("tennis", "run_on_the_spot"),
        "TennisServe": ("tennis", "overhead_swing"),
    }
)


@dataclass(frozen=True)
class DemoSpec:
    """Size and seed of the data set.

    Attributes:
        seed: Decides every pixel.
        groups: Groups per class, a multiple of 3: split k tests on the k-th third of them.
        clips_per_group: Clips that share background, clothes and scale.
        frames: Frames per clip.
        fps: Frames per second; movements keep their duration in seconds.
        width: Picture width in pixels, a multiple of 16.
        height: Picture height in pixels, a multiple of 16.

    Raises:
        ParamsError: a value breaks its rule.
    """

    seed: int = 0
    groups: int = 9
    clips_per_group: int = 4
    frames: int = 36
    fps: int = 25
    width: int = 192
    height: int = 144

    def __post_init__(self) -> None:
        _require(self.seed >= 0, f"seed must be 0 or more, got {self.seed}")
        _require(
            self.groups > 0 and self.groups % SPLITS == 0,
            f"groups must be a positive multiple of {SPLITS}, one third for each test list, got {self.groups}",
        )
        _require(self.groups < 100, f"groups must have two digits at most, got {self.groups}")
        _require(0 < self.clips_per_group < 100, f"clips_per_group must be 1 to 99, got {self.clips_per_group}")
        _require(self.frames >= MIN_FRAMES, f"frames must be at least {MIN_FRAMES}, got {self.frames}")
        _require(self.fps > 0, f"fps must be positive, got {self.fps}")
        for name, value in (("width", self.width), ("height", self.height)):
            _require(
                value > 0 and value % BLOCK_PX == 0,
                f"{name} must be a positive multiple of {BLOCK_PX}, the codec's block, got {value}",
            )

    def test_groups(self, split: int) -> range:
        """Group numbers (from 1) that split 1, 2 or 3 tests on."""
        share = self.groups // SPLITS
        return range((split - 1) * share + 1, split * share + 1)


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise ParamsError(f"demo: {rule}")


def classes() -> list[str]:
    """Class names in the order of the class index."""
    return list(PAIRS)
