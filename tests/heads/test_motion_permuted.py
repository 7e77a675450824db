import numpy as np
import pytest

from moclip.base.errors import StoreError
from moclip.heads.motion_permuted import permuted
from moclip.store.features import Features
from tests.support.streams import MEMBERS, two_streams, videos

SEED = (0, "motion_permuted", 1)


def test_motion_is_permuted_within_each_part():
    motion, given = two_streams()["motion"], videos()
    found = permuted(given, SEED).streams["motion"]
    for part in ("train", "val", "test"):
        ids = given.split.part(part).ids
        before, after = motion.of(ids), found.of(ids)
        assert sorted(before.tolist()) == sorted(after.tolist()), "each feature goes to one video of its part"
        assert (before != after).any(axis=1).mean() > 0.8, "hardly any stays where it was"
    again, other = (permuted(given, (0, "motion_permuted", split)).streams["motion"] for split in (1, 2))
    ids = [member.id for member in MEMBERS]
    np.testing.assert_array_equal(again.of(ids), found.of(ids))
    assert (other.of(ids) != found.of(ids)).any()


def test_other_streams_keep_their_videos():
    given = videos()
    assert permuted(given, SEED).streams["clip"] is given.streams["clip"]


def test_motion_that_lacks_a_video_cannot_be_permuted():
    motion = two_streams()["motion"]
    short = Features("motion features", motion.ids[1:], motion.values[1:])
    with pytest.raises(StoreError, match="motion features: lacks 1 of 16 videos, first v00"):
        permuted(videos({"motion": short}), SEED)
