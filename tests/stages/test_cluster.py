import pytest

from moclip.base.errors import StoreError
from moclip.tracking.store import store_at
from stages import _cluster
from stages._cluster import check_database


@pytest.fixture
def on_nfs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cluster, "network_file_system", lambda folder: "nfs4")


def test_a_database_file_on_a_networks_disk_is_refused_with_a_cluster_alone(on_nfs, tmp_path, monkeypatch):
    store = store_at(tmp_path)
    monkeypatch.delenv("MOCLIP_CLUSTER", raising=False)
    check_database(store)
    monkeypatch.setenv("MOCLIP_CLUSTER", "tls://head:8786")
    check_database(store_at(tmp_path, "http://head:5000"))
    with pytest.raises(StoreError, match=r"mlflow\.db lies on nfs4, .* let MLFLOW_TRACKING_URI name an MLflow server"):
        check_database(store)


def test_a_database_file_on_this_machines_disk_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCLIP_CLUSTER", "tls://head:8786")
    check_database(store_at(tmp_path))
