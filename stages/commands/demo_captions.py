"""Not a stage: sentences about the demo's videos, for `open_vclip.captions`, generated as the videos are.

    python -m stages.commands.demo_captions --out prompts/captions/demo.csv

wrote the file that stands there. A sentence names thing, place and movement of its video; its form follows from the id.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from moclip.base.outputs import writing_file
from moclip.clip.captions import Caption, write_captions
from moclip.demo.dataset import video_name
from moclip.demo.spec import APPEARANCES, PAIRS, DemoSpec
from moclip.params.demo import DemoParams
from stages._entry import arguments, command, section

MOVES = {
    "run_on_the_spot": "runs on the spot",
    "arm_circles": "circles both arms",
    "overhead_swing": "swings from above the head",
    "side_swing": "swings from side to side",
    "jump": "jumps up and down",
    "squat": "squats and rises",
}
FORMS = (
    "a person with {thing} {moves} {place}.",
    "a video of somebody who {moves} {place}, with {thing}.",
    "{place}, a person {moves}.",
    "someone holding {thing} {moves}.",
)


def main() -> None:
    args = arguments("out")
    demo = section("demo", DemoParams)
    spec = DemoSpec(groups=demo.groups, clips_per_group=demo.clips_per_group)
    with writing_file(args.out, None) as temporary:
        write_captions(temporary, demo_captions(spec))


def demo_captions(spec: DemoSpec) -> Iterator[Caption]:
    """A sentence for each video of the demo, by class, group and clip."""
    for name, (appearance, movement) in PAIRS.items():
        shown = APPEARANCES[appearance]
        for group in range(1, spec.groups + 1):
            for clip in range(1, spec.clips_per_group + 1):
                video = Path(video_name(name, group, clip)).stem
                form = FORMS[sha256(video.encode()).digest()[0] % len(FORMS)]
                yield Caption(video, form.format(thing=shown.thing, place=shown.place, moves=MOVES[movement]))


if __name__ == "__main__":
    command(main)
