"""Frames that the motion pass keeps for CLIP: a store between two stages that is work and no output.

The features do not hang on who decodes, so no stage hangs on these frames; they can be removed when CLIP has seen them.
"""

from pathlib import Path

from moclip.base.files import fingerprint, sha256_file
from moclip.params.clip import ClipParams
from moclip.store.blocks import FORMAT_VERSION
from moclip.video.decode import versions
from stages._entry import section, work_directory


def kept_rule() -> str | None:
    """The rule of the frames that are kept, one of `moclip.video.frames.evaluation_frames`; None where none are."""
    return section("clip", ClipParams).keep_frames


def kept_in(manifest: Path, rule: str) -> Path:
    """Where they lie: a directory of these videos, this rule and this decoder."""
    return work_directory(f"kept_frames-{fingerprint(sha256_file(manifest), rule, versions(), FORMAT_VERSION)}")
