"""`python -m moclip`: the command `moclip`, where its own folder is not on the PATH."""

import sys

from moclip.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
