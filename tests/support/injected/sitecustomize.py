"""Faults of decoders in whatever process has this folder on its path: `crash*` ends it, `hang*` never comes back."""

import os
import resource
import signal
import sys


def _fault(event: str, args: tuple[object, ...]) -> None:
    name = os.path.basename(str(args[0])) if event == "open" else ""  # noqa: PTH119
    if name.endswith(".avi") and name.startswith("crash"):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.abort()
    if name.endswith(".avi") and name.startswith("hang"):
        signal.pause()


sys.addaudithook(_fault)
