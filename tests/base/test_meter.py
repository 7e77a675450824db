import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

from moclip.base.meter import MIB, SAMPLE_S, Meter

ROOT = Path(__file__).parents[2]
HOLD_MIB = 200


def _hold(seconds: float) -> None:
    held = bytearray(HOLD_MIB * MIB)
    end = time.process_time() + seconds
    while time.process_time() < end:
        held[0] += 1
        held[0] = 0


def test_children_count_in_memory_and_processor_time():
    with Meter() as meter:
        before = meter.cost()
        child = multiprocessing.get_context("spawn").Process(target=_hold, args=(3 * SAMPLE_S,))
        child.start()
        child.join()
        after = meter.cost()
    assert after.cpu_s - before.cpu_s >= 3 * SAMPLE_S
    assert after.peak_mib - before.peak_mib > HOLD_MIB / 2
    assert after.cores >= 1
    assert after.device


def test_a_child_that_still_runs_counts_too():
    with Meter() as meter:
        before = meter.cost()
        child = multiprocessing.get_context("spawn").Process(target=_hold, args=(60,))
        child.start()
        try:
            while meter.cost().cpu_s - before.cpu_s < 1:
                time.sleep(0.1)
        finally:
            child.kill()
            child.join()


def test_short_peak_and_the_time_before_the_meter_are_not_missed():
    """Memory that was given back at once, and an import before the meter began."""
    program = (
        "import time; time.sleep(1)\n"
        "from moclip.base.meter import Meter\n"
        "with Meter() as meter: bytearray(300 * 2**20)\n"
        "cost = meter.cost(); print(cost.wall_s, cost.peak_mib)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    wall_s, peak_mib = map(float, done.stdout.split())
    assert wall_s >= 1
    assert 300 < peak_mib < 600
