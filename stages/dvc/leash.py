"""Runs a program that ends with whoever started this: its words are the arguments, and stdin is a pipe that nobody
writes to, which the system closes when its owner is gone, killed or not. A script that imports little, so that it costs
little; `stages.dvc.program.run_tied` starts it.
"""

import os
import signal
import subprocess
import sys
import threading


def main() -> None:
    # A session of its own: what the program starts is in its process group too.
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_end_with_owner, args=(program.pid,), daemon=True).start()
    sys.exit(program.wait())


def _end_with_owner(group: int) -> None:
    os.read(0, 1)
    os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
