"""The runner: every attack in turn, a line for each as it ends, and the page."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.attacks import bundles, files, graphs, machine, serving, videos, web, words
from benchmarks.attacks.bench import Bench, bench
from benchmarks.attacks.table import Attack, Outcome, page
from moclip.base.files import write_text
from moclip.base.outside.terminal import say
from moclip.predict.bundle import open_model, write_bundle
from tests.support.clips import encode, scrolling
from tests.support.trained import build, pipeline

# Those first whose commands load little: forks begin with what was loaded, and costs are what comes on top.
LIGHT = {"videos": videos.attacks, "files": files.attacks, "graphs": graphs.attacks}
HEAVY = {
    "checkpoints": files.checkpoints,
    "bundles": bundles.attacks,
    "web": web.attacks,
    "words": words.attacks,
    "machine": machine.attacks,
    "serving": serving.attacks,
}


def main() -> None:
    """Try attacks, and write what came of them; 1 where one got through."""
    args = _parser().parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="moclip-attacks-") as folder:
        trained = args.trained or build(Path(folder))
        with made(trained, Path(folder)) as ready:
            for kind in args.only or (*LIGHT, *HEAVY):
                if kind in HEAVY:
                    load()
                for row in tried([one for one in (LIGHT | HEAVY)[kind]() if args.match in one.tried], ready):
                    rows.append(row)
                    attack, outcome = row
                    say(f"{outcome.verdict:9} {attack.number:5} {attack.tried}: {outcome.happened}")
                    sys.stdout.flush()
    failed = sum(outcome.verdict == "failed" for _, outcome in rows)
    say(f"{len(rows)} attacks, {failed} failed")
    if args.out:
        write_text(args.out, page(rows))
    sys.exit(bool(failed))


def load() -> None:
    """Import what commands need, once: they are forked."""
    import open_clip  # noqa: F401
    import torch  # noqa: F401

    import moclip.clip.encoder
    import moclip.predict.loading
    import moclip.predict.predictor
    import moclip.tracking.serving  # noqa: F401


def made(trained: Path, folder: Path) -> AbstractContextManager[Bench]:
    """A bench on the models of a finished run."""
    write_bundle(folder / "good", open_model(pipeline(trained), 1))
    film = encode(folder / "a.avi", scrolling(12, 3, -2))
    return bench(trained / "models", folder / "good", film)


def tried(attacks: Sequence[Attack], ready: Bench) -> Iterator[tuple[Attack, Outcome]]:
    """Each attack with what came of it, in order."""
    for attack in attacks:
        with ready.attack():
            yield attack, attack.do(ready)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--trained", type=Path, help="a finished run of the pipeline; else the smallest demo is trained"
    )
    parser.add_argument("--only", nargs="+", choices=[*LIGHT, *HEAVY], help="these kinds alone")
    parser.add_argument("--match", default="", help="only attacks with this in their words")
    parser.add_argument("--out", type=Path, help="write the table there, as Markdown")
    return parser


if __name__ == "__main__":
    main()
