"""Stage `code`, the first: a text for each stage that stands for all code that it runs; other stages hang on theirs.

As the first, it also refuses heads that no stage fits.
"""

from moclip.base.files import atomic_path, write_text
from moclip.heads.registry import HEADS
from stages._entry import arguments, run
from stages.dvc.code import HEAD_SCRIPT, code_text, scripts
from stages.dvc.fitted import check_heads


def main() -> None:
    args = arguments("out")
    check_heads()
    with atomic_path(args.out) as folder:
        for script in scripts():
            write_text(folder / f"{script.rpartition('.')[2]}.txt", code_text(script))
        for head in HEADS:
            write_text(folder / "heads" / f"{head}.txt", code_text(HEAD_SCRIPT, head))


if __name__ == "__main__":
    run(main)
