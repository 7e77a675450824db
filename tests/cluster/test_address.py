"""Who may reach a cluster: the address says whether strangers could, and certificates keep them out."""

import pickle
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import dask
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from moclip.base.errors import ParamsError
from moclip.base.files import write_json
from moclip.cluster.address import address_of, is_open_to_strangers
from moclip.cluster.driver import connected
from moclip.cluster.node import Job
from moclip.motion.extract import BLOCK_VIDEOS, BlockTask, MotionOptions, made_by, make_block
from moclip.video.bounded.limits import DEFAULTS
from tests.support.nodes import Nodes

LARGEST_MESSAGE_BYTES = 100_000


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        ("tcp://10.0.0.7:8786", True),
        ("tcp://head:8786", True),
        ("tcp://[fe80::1]:8786", True),
        ("tls://head:8786", False),
        ("tcp://127.0.0.1:8786", False),
        ("tcp://[::1]:8786", False),
        ("tcp://localhost:8786", False),
    ],
)
def test_an_address_without_tls_is_open_off_this_machine(address, is_open):
    assert is_open_to_strangers(address_of(address)) == is_open


def test_a_scheduler_is_named_by_address_or_by_its_file(tmp_path):
    write_json(tmp_path / "scheduler.json", {"address": "tls://head:8786"})
    assert address_of(str(tmp_path / "scheduler.json")) == "tls://head:8786"
    for text in ("head:8786", "http://head:8786", "tls://", str(tmp_path / "none.json")):
        with pytest.raises(ParamsError, match=r"MOCLIP_CLUSTER .*tls://HOST:PORT, tcp://HOST:PORT or the file"):
            address_of(text)


def test_the_message_of_a_block_is_small():
    rows = tuple((f"v_PlayingDhol_g{i:03d}_c01", f"PlayingDhol/v_PlayingDhol_g{i:03d}_c01.avi", f"{i:064x}", False, ())
                 for i in range(BLOCK_VIDEOS))  # fmt: skip
    task = BlockTask(Path("/shared/work/000000.block"), None, Path("/shared/data/videos"), rows, MotionOptions())
    facts_of = partial(made_by, MotionOptions())
    job = Job(facts_of, facts_of(), pickle.dumps(make_block), DEFAULTS)
    assert len(pickle.dumps((job, task))) < LARGEST_MESSAGE_BYTES


def certificates(folder: Path) -> Mapping[str, str]:
    """Files of a certificate for this machine that signs itself: it is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "moclip cluster")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    (folder / "node.pem").write_bytes(certificate.public_bytes(form))
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "node.key").write_bytes(key.private_bytes(form, *plain))
    return {"ca-file": str(folder / "node.pem"), "cert": str(folder / "node.pem"), "key": str(folder / "node.key")}


def test_a_stranger_without_a_certificate_is_refused(tmp_path):
    files = certificates(tmp_path)
    words = [word for name, file in files.items() for word in (f"--tls-{name}", file)]
    nodes = Nodes(tmp_path, *words, host="tls://127.0.0.1:0")
    try:
        own = {"ca-file": files["ca-file"], "client.cert": files["cert"], "client.key": files["key"]}
        config = {f"distributed.comm.tls.{name}": file for name, file in own.items()}
        with dask.config.set(config), connected(nodes.address) as cluster:
            assert cluster._client.scheduler_info()["workers"] == {}
        port = int(nodes.address.rpartition(":")[2])
        stranger = ssl.create_default_context(cafile=files["ca-file"])
        with (
            pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"),
            stranger.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1") as pipe,
        ):
            pipe.recv(1)
    finally:
        nodes.close()
