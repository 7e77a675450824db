"""Long files first: workers take files one by one, and one that begins last with a long file works on alone.

Of the files below the first makes what others wait for, and those after it need nothing of it.
"""

from collections.abc import MutableSequence
from pathlib import Path

import pytest

LONGEST = (
    "graph/test_pipeline.py",
    "tracking/test_sweep.py",
    "stages/test_train_motion.py",
    "cli/test_doctor.py",
    "stages/test_head.py",
    "data/test_real_features.py",
    "stages/test_ablate.py",
    "base/test_arithmetic.py",
    "video/test_bounded.py",
    "graph/test_related.py",
    "graph/test_experiments.py",
    "graph/test_queue.py",
    "graph/test_inputs.py",
    "graph/test_code.py",
    "graph/test_clones.py",
    "graph/test_new_head.py",
    "tracking/test_registry.py",
    "tools/test_pictures.py",
    "predict/test_onnx.py",
    "heads/test_multiway.py",
    "base/test_outputs.py",
    "stages/test_side_by_side.py",
    "stages/test_results.py",
    "tracking/test_live.py",
    "predict/test_strangers.py",
    "video/test_decode.py",
    "motion/test_net.py",
)
"""Below `tests`, in the order in which they are begun; all others follow."""

TESTS = Path(__file__).parents[1]


def longest_first(items: MutableSequence[pytest.Item]) -> None:
    """Sort tests by their files; within a file, and among files that are not listed, the order stays."""
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items[:] = sorted(items, key=lambda item: places.get(item.path, len(places)))
