"""What this process costs: seconds, processor seconds and the most memory at one time, its children's included."""

import os
import re
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from moclip.base.parallel import cores

MIB = 2**20
# Memory is looked at so often: one look takes some milliseconds.
SAMPLE_S = 0.5


@dataclass(frozen=True)
class Cost:
    """What a process took, from its start on, imports included.

    Attributes:
        wall_s: Seconds by the clock.
        cpu_s: Processor seconds (user and system) of the process and its children.
        peak_mib: Most resident memory of both at one time; pages that they share count for each.
        device: The processor's name, and the accelerator's where one was used.
        cores: Processors that the process may use.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float
    device: str
    cores: int


class Meter:
    """Watch this process while a `with` block runs; `cost` then says what it took until now."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="meter", daemon=True)
        self._peak_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        self._peak_bytes = max(self._peak_bytes, sum(_resident_bytes(process) for process in _family()))

    def cost(self) -> Cost:
        """What the process and its children took until now."""
        self._sample()
        return Cost(
            wall_s=round(_age_s(), 2),
            cpu_s=round(_cpu_s(), 2),
            peak_mib=round(max(self._peak_bytes, _own_peak_bytes()) / MIB, 1),
            device=_device(),
            cores=cores(),
        )


def _family() -> list[psutil.Process]:
    process = psutil.Process()
    return [process, *process.children(recursive=True)]


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it ended between the list and the look
        return 0


def _own_peak_bytes() -> int:
    """The kernel's own maximum, which misses no short peak; 0 where it keeps none for the running program alone.

    `ru_maxrss` will not do: it takes over the size of the process that this one was forked from.
    """
    status = Path("/proc/self/status")
    found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE) if status.exists() else None
    return 1024 * int(found[1]) if found else 0


def _cpu_s() -> float:
    """Of this process, of children that have ended, and of those that still run."""
    times = os.times()
    running = 0.0
    for child in _family()[1:]:
        try:
            used = child.cpu_times()
        except psutil.Error:
            continue
        running += used.user + used.system
    return times.user + times.system + times.children_user + times.children_system + running


def _age_s() -> float:
    process = psutil.Process()
    if psutil.LINUX:  # both times hold the boot time there, which is a whole second
        return time.clock_gettime(time.CLOCK_BOOTTIME) - (process.create_time() - psutil.boot_time())
    return time.time() - process.create_time()


def _device() -> str:
    """Whether an accelerator was used is known to PyTorch alone, and only if the process has loaded it."""
    torch = sys.modules.get("torch")
    used = [torch.cuda.get_device_name()] if torch is not None and torch.cuda.is_initialized() else []
    return " + ".join([_processor(), *used])


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else None
    return found[1].strip() if found else "processor of unknown name"
