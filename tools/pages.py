"""Not a stage: `python -m tools.pages FOLDER` copies what the docs site shows to where it lies in the repository.

Links between pages then lead where they lead in Git, and one check holds for both. It takes Git and Python alone, since
the site is built in an environment of its own.
"""

import shutil
import subprocess
import sys
from pathlib import Path

# What pages are, and what they link to or show.
KINDS = (
    "*.md",
    "LICENSE",
    "docs/*.ipynb",
    "docs/*.css",
    "docs/cluster/*",
    "docs/pictures/*",
    "papers/*.yaml",
    "reports/*",
)


def main() -> None:
    target = Path(sys.argv[1])
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *KINDS]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
    shutil.rmtree(target, ignore_errors=True)
    for name in filter(None, names):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(name, target / name)


if __name__ == "__main__":
    main()
