"""MPEG-TS by its packets: which breaks of their count are joints of files laid end to end, and which are losses."""

import numpy as np

from moclip.video.file.shard import Place

PACKET_SIZES = {188: 0, 192: 4, 204: 0}
"""Bytes of a packet, and where its sync byte is: plain, with a time before it (Blu-ray, cameras), with check bytes."""
SYNC = 0x47
_PROBED = 20  # packets whose sync bytes tell the size
_TABLES = 0  # PID of the table that each file begins with


def packet_size(head: bytes) -> int | None:
    """Bytes of a packet by the first of a file; None where it is no MPEG-TS from its first byte on."""
    for size, sync in PACKET_SIZES.items():
        marks = head[sync : _PROBED * size : size]
        if len(marks) > 3 and set(marks) == {SYNC}:
            return size
    return None


def has_losses(place: Place, pid: int) -> bool:
    """Whether packets of a stream are missing, other than where one file ends and the next begins.

    A joint is a break of the count between two pictures, across the table that a file begins with. Counts of packets
    run modulo 16, and a packet may come twice (ISO/IEC 13818-1, 2.4.3.3).
    """
    with place.open() as file:
        size = packet_size(file.read(_PROBED * max(PACKET_SIZES)))
    if size is None:
        return True
    count = place.size // size
    packets = np.memmap(place.file, np.uint8, "r", place.start, (count, size))[:, PACKET_SIZES[size] :]
    if (packets[:, 0] != SYNC).any():
        return True
    pids = (packets[:, 1].astype(np.int32) & 0x1F) << 8 | packets[:, 2]
    own = np.flatnonzero(pids == pid)
    heads = np.asarray(packets[own, :6]).astype(np.int32)
    has_payload, has_field = heads[:, 3] >> 4 & 1, heads[:, 3] >> 5 & 1
    counts = heads[:, 3] & 15
    expected = (counts[:-1] + has_payload[1:]) & 15
    told = (has_field & (heads[:, 4] > 0) & (heads[:, 5] >> 7))[1:] > 0
    breaks = np.flatnonzero((counts[1:] != expected) & (counts[1:] != counts[:-1]) & ~told) + 1
    tables = np.flatnonzero(pids == _TABLES)
    begins_picture = heads[breaks, 1] & 0x40 > 0
    behind_table = np.searchsorted(tables, own[breaks]) > np.searchsorted(tables, own[breaks - 1])
    return not bool((begins_picture & behind_table).all())
