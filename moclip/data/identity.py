"""What a data set is, by content: two that are equal here may be held against each other, whatever they are called."""

from collections.abc import Mapping, Sequence

from moclip.base.files import fingerprint
from moclip.data.manifest import Video
from moclip.data.splits import Member


def identity(videos: Mapping[str, Video], classes: Sequence[str], splits: Mapping[int, Sequence[Member]]) -> str:
    """Sixteen hexadecimal digits that stand for the bytes of all videos, the classes in their order, and all parts.

    Where the videos lie does not count, nor what a decoder says of them.

    Args:
        videos: Rows of the manifest by id.
        classes: Names in index order.
        splits: Members of every split that was drawn, also of those that a result leaves out.
    """
    return fingerprint(
        {stem: video.sha256 for stem, video in videos.items()},
        list(classes),
        {str(split): sorted((one.id, one.label, one.part) for one in members) for split, members in splits.items()},
    )
