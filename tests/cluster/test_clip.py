"""CLIP's features by nodes: the bytes of one machine, and another GPU's model is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moclip.clip import cache
from moclip.clip.encoder import Encoder
from moclip.clip.frames import cache_frames
from moclip.cluster.driver import Cluster, connected
from moclip.cluster.node import NodeError
from moclip.data.manifest import Video
from moclip.data.measure import measure
from moclip.data.ucf101 import find_ucf101
from moclip.params.frames import FramesParams
from moclip.training.device import Compute
from tests.support.towers import resnet_encoder
from tests.support.trees import content

FRAMES = FramesParams(rule="uniform:3", grid=1, path="value", cut=2, select="uniform", keep=None, order="time")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return resnet_encoder(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def videos(demo_folder: Path) -> list[Video]:
    return measure(list(find_ucf101(demo_folder, "demo").clips.values())[::5], demo_folder, jobs=1)


def test_features_and_frames_are_those_of_one_machine(nodes, encoder, videos, demo_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "CHUNK_VIDEOS", 3)

    def made(name: str, cluster: Cluster | None) -> tuple[np.ndarray, dict[str, bytes]]:
        work, more = tmp_path / name, {"batch_images": 4, "cluster": cluster}
        _, features = cache.image_features(encoder, videos, demo_folder, work / "images", **more)
        given: Any = (encoder, videos, demo_folder, work / "frames", work / "store", "grid", FRAMES)
        cache_frames(*given, provenance={}, **more)
        return features, content(work / "store")

    alone = made("alone", None)
    with connected(nodes.address) as cluster:
        found = made("nodes", cluster)
    np.testing.assert_array_equal(found[0], alone[0], strict=True)
    assert found[1] == alone[1]


def test_another_model_of_gpu_is_refused_before_it_writes(nodes, encoder, videos, demo_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Compute, "processor", "NVIDIA H100 80GB HBM3")
    with (
        connected(nodes.address) as cluster,
        pytest.raises(NodeError, match=r"host \S+: processor is cpu, not NVIDIA H100 80GB HBM3\. Give it"),
    ):
        cache.image_features(encoder, videos, demo_folder, tmp_path, batch_images=4, cluster=cluster)
    assert not list(tmp_path.glob("*.npz"))
