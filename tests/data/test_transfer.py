"""A download ends with the right file or a clear error, whatever the server does; real HTTP on loopback."""

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moclip.data.fetch import transfer
from moclip.data.fetch.transfer import NoHostError, Patience, RangeFile, Remote, TransferError, download
from tests.support.servers import Handler, Site, change, cut, lie, make_certificate, serving, stall, status

QUICK = Patience(retries=3, backoff_seconds=0.001, longest_wait_seconds=0.01, connect_seconds=2, stall_seconds=0.3)
BODY = np.random.default_rng(0).bytes(2_000_000)
OTHER = np.random.default_rng(1).bytes(2_000_000)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site({"/a.bin": BODY})) as site:
        yield site


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "BLOCK_BYTES", 1 << 14)


def fetch(site: Site, folder: Path, path: str = "/a.bin") -> bytes:
    target = folder / "a.bin"
    download(site.url + path, target, patience=QUICK)
    assert [file.name for file in folder.iterdir()] == ["a.bin"], "nothing is left beside the file"
    return target.read_bytes()


def test_twenty_random_cuts_end_in_the_same_bytes(site: Site, tmp_path: Path) -> None:
    draws = np.random.default_rng(2).integers(1, 180_000, 20).tolist()
    site.faults = [cut(after) for after in draws]
    assert fetch(site, tmp_path) == BODY
    assert site.sent_bytes == len(BODY), "no byte is sent twice"
    assert len(site.asked) == 21


def test_killed_transfer_is_gone_on_with_by_the_next(site: Site, tmp_path: Path) -> None:
    site.faults = [cut(700_000), *[status(503)] * 4]
    with pytest.raises(
        TransferError, match=r"gave up after 4 tries without progress \(HTTP status 503\); run it again"
    ):
        download(f"{site.url}/a.bin", tmp_path / "a.bin", patience=QUICK)
    assert not (tmp_path / "a.bin").exists()
    assert fetch(site, tmp_path) == BODY
    assert site.asked[-1] == ("/a.bin", "bytes=700000-")


def test_killed_between_last_byte_and_rename(site: Site, tmp_path: Path) -> None:
    site.faults = [cut(len(BODY) - 1), *[status(503)] * 4]
    with pytest.raises(TransferError):
        download(f"{site.url}/a.bin", tmp_path / "a.bin", patience=QUICK)
    with (tmp_path / ".a.bin.part").open("ab") as handle:
        handle.write(BODY[-1:])
    asked = len(site.asked)
    assert fetch(site, tmp_path) == BODY
    assert len(site.asked) == asked


@pytest.mark.parametrize("size", [2_000_000, 900_000])
@pytest.mark.parametrize("etag", ['"two"', 'W/"one"'])
def test_file_that_changes_between_is_fetched_anew(site: Site, tmp_path: Path, size: int, etag: str) -> None:
    new = OTHER[:size]
    site.faults = [
        cut(1_000_000),
        change(site, files={"/a.bin": new}, etag=etag, modified="Tue, 08 Jan 2013 10:00:00 GMT"),
    ]
    assert fetch(site, tmp_path) == new


def test_server_that_ignores_if_range_after_a_change(site: Site, tmp_path: Path) -> None:
    """The 206 says by its ETag that it is of another file: spliced halves would have the right size."""

    def ignore(handler: Handler) -> bool:
        site.files, site.etag = {"/a.bin": OTHER}, '"two"'
        handler.headers.replace_header("If-Range", site.etag)
        return False

    site.faults = [cut(1_000_000), ignore]
    assert fetch(site, tmp_path) == OTHER


def test_range_answer_may_leave_out_the_date(site: Site, tmp_path: Path) -> None:
    """As the standard advises after If-Range with an ETag."""
    site.faults = [cut(1_000_000), lambda handler: (setattr(site, "modified", None), False)[1]]
    assert fetch(site, tmp_path) == BODY
    assert site.sent_bytes == len(BODY)


def test_without_validators_nothing_is_resumed(tmp_path: Path) -> None:
    with serving(Site({"/a.bin": BODY}, etag=None, modified=None)) as site:
        site.faults = [cut(1_000_000), change(site, files={"/a.bin": OTHER})]
        assert fetch(site, tmp_path) == OTHER
        assert [asked for _, asked in site.asked] == [None, None]


def test_server_without_ranges_starts_again(tmp_path: Path) -> None:
    with serving(Site({"/a.bin": BODY}, ranges=False)) as site:
        site.faults = [cut(1_000_000), cut(1_500_000)]
        assert fetch(site, tmp_path) == BODY


@pytest.mark.parametrize(
    "wrong",
    [
        "bytes 5-1999999/2000000",
        "bytes 1000000-1999999/3000000",
        "bytes 1000000-5999999/2000000",
        "bytes */2000000",
        "",
    ],
)
def test_wrong_range_answers_are_not_taken(site: Site, tmp_path: Path, wrong: str) -> None:
    site.faults = [cut(1_000_000), lie(Content_Range=wrong)]
    assert fetch(site, tmp_path) == BODY


def test_file_that_shrank_below_what_is_there(site: Site, tmp_path: Path) -> None:
    site.faults = [cut(1_500_000), change(site, files={"/a.bin": OTHER[:1000]})]
    assert fetch(site, tmp_path) == OTHER[:1000]


def test_stalls_and_passing_errors(site: Site, tmp_path: Path) -> None:
    site.faults = [status(503, Retry_After="1"), status(500), stall(500_000, 1.0)]
    assert fetch(site, tmp_path) == BODY


def test_stalled_body_is_left_after_the_limit(site: Site, tmp_path: Path) -> None:
    """The server holds the connection open and sends nothing: the client hangs up by itself."""

    def hold(handler: Handler) -> bool:
        handler.send_response(200)
        for name, value in {"Content-Length": len(BODY), "ETag": site.etag}.items():
            handler.send_header(name, str(value))
        handler.end_headers()
        handler.wfile.write(BODY[:100_000])
        handler.wfile.flush()
        handler.rfile.read(1)  # until the client goes
        handler.close_connection = True
        return True

    site.faults = [hold]
    assert fetch(site, tmp_path) == BODY
    assert site.asked[1][1] not in (None, "bytes=0-"), "what came before the silence is kept"
    assert len(site.asked) == 2


def drip(handler: Handler) -> bool:
    """One byte now and then, never a silence that is long enough."""
    asked = handler.headers.get("Range", "bytes=0-")
    start = int(asked.removeprefix("bytes=").rstrip("-"))
    handler.send_response(206 if start else 200)
    length, place = len(BODY) - start, f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
    for name, value in {"Content-Length": length, "Content-Range": place, "ETag": handler.site.etag}.items():
        handler.send_header(name, str(value))
    handler.end_headers()
    with suppress(OSError):  # until the client goes
        for byte in BODY[start:]:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.05)
    handler.close_connection = True
    return True


def test_a_body_that_drips_is_left_and_what_came_of_it_is_kept(site: Site, tmp_path: Path) -> None:
    site.faults = [drip]
    download(f"{site.url}/a.bin", tmp_path / "a.bin", patience=replace(QUICK, stall_seconds=2))
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert re.fullmatch(r"bytes=[1-9]\d?-", site.asked[1][1] or "")


def test_a_server_that_only_drips_is_given_up(site: Site, tmp_path: Path) -> None:
    site.faults = [drip] * 9
    with pytest.raises(TransferError, match=r"gave up after 4 tries .*sent \d+ bytes in 2 s, fewer than 1000 a second"):
        download(f"{site.url}/a.bin", tmp_path / "a.bin", patience=replace(QUICK, stall_seconds=2))
    assert len(site.asked) == 4


def test_redirects_are_followed_and_loops_refused(site: Site, tmp_path: Path) -> None:
    site.faults = [status(302, Location="/b"), status(307, Location="/a.bin"), cut(500_000)]
    assert fetch(site, tmp_path) == BODY
    site.faults = [status(302, Location="/a.bin")] * 30
    with pytest.raises(TransferError, match="10 redirects"):
        download(f"{site.url}/a.bin", tmp_path / "loop", patience=QUICK)
    site.faults = [status(302, Location="file:///etc/hostname")]
    with pytest.raises(TransferError, match="no address of the web; refused"):
        download(f"{site.url}/a.bin", tmp_path / "file", patience=QUICK)


@pytest.mark.parametrize(("code", "count"), [(404, 1), (403, 1), (503, 4)])
def test_status_that_stays_is_an_error_and_no_file(site: Site, tmp_path: Path, code: int, count: int) -> None:
    site.faults = [status(code)] * 9
    with pytest.raises(TransferError, match=rf"a\.bin: .*HTTP status {code}"):
        download(f"{site.url}/a.bin", tmp_path / "a.bin", patience=QUICK)
    assert len(site.asked) == count
    assert not (tmp_path / "a.bin").exists()


def test_body_without_size_or_encoded_is_refused(site: Site, tmp_path: Path) -> None:
    for fault, message in ((lie(Content_Encoding="gzip"), "re-encoded"), (lie(Content_Length="x"), "state the size")):
        site.faults = [fault]
        with pytest.raises(TransferError, match=message):
            download(f"{site.url}/a.bin", tmp_path / "a.bin", patience=QUICK)


def test_nothing_listens(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"gave up after 4 tries without progress .*Connection"):
        download("http://localhost:9/a.bin", tmp_path / "a.bin", patience=QUICK)


@pytest.mark.parametrize("patience", [None, QUICK])
def test_a_name_that_does_not_resolve_ends_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, patience: Patience | None
) -> None:
    start = time.perf_counter()
    with pytest.raises(NoHostError, match=r"name nowhere\.invalid does not resolve: no network here"):
        download("https://nowhere.invalid/a.bin", tmp_path / "a.bin", patience=patience)
    assert time.perf_counter() - start < 25  # the resolver's own limit; no wait of ours
    assert not any("try 1 of" in record.getMessage() for record in caplog.records)


def test_disk_that_is_too_small_is_refused_before_bytes_are_kept(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_SPARE_BYTES", 1 << 60)
    with pytest.raises(TransferError, match=r"needs 0\.00 GB, but .* GB are free; make room or move data\.root"):
        download(f"{site.url}/a.bin", tmp_path / "a.bin", patience=QUICK)
    assert (tmp_path / ".a.bin.part").stat().st_size == 0


@pytest.mark.parametrize(
    ("name", "days", "trusted"),
    [("localhost", 1, False), ("elsewhere.test", 1, True), ("localhost", -2, True)],
    ids=["unknown issuer", "other host", "expired"],
)
def test_bad_certificate_is_an_error_that_names_the_remedy(tmp_path: Path, name: str, days: int, trusted: bool) -> None:
    server, bundle = make_certificate(tmp_path, name, days)
    with serving(Site({"/a.bin": BODY}), server) as site:
        with pytest.raises(TransferError, match=r"certificate cannot be verified .*never skipped.*data\.ca_bundle"):
            download(
                f"{site.url}/a.bin",
                tmp_path / "a.bin",
                ca_bundle=bundle if trusted else None,
                patience=QUICK,
            )
        assert site.asked == []
    assert not (tmp_path / "a.bin").exists()


def test_ca_bundle_makes_the_certificate_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also against the environment's own setting, which must not win over the parameter."""
    server, bundle = make_certificate(tmp_path, "localhost")
    (tmp_path / "empty.pem").touch()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "empty.pem"))
    with serving(Site({"/a.bin": BODY}), server) as site:
        download(f"{site.url}/a.bin", tmp_path / "a.bin", ca_bundle=bundle, patience=QUICK)
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_ca_bundle_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"data\.ca_bundle: .*absent\.pem is no file; name a PEM file"):
        Remote("https://localhost/", ca_bundle=tmp_path / "absent.pem")


def test_encrypted_address_that_redirects_to_a_plain_one_is_refused(site: Site, tmp_path: Path) -> None:
    server, bundle = make_certificate(tmp_path, "localhost")
    with serving(Site({}), server) as secure:
        secure.faults = [status(302, Location=f"{site.url}/a.bin")]
        with pytest.raises(TransferError, match="which is not encrypted; refused"):
            download(f"{secure.url}/x", tmp_path / "x", ca_bundle=bundle, patience=QUICK)


def test_no_hop_leaves_encryption_or_the_web_and_none_such_is_asked(site: Site, tmp_path: Path) -> None:
    """Of https, http, https the last address is as good as the first, and the one between may lead anywhere."""
    server, bundle = make_certificate(tmp_path, "localhost")
    with serving(Site({"/a.bin": BODY}), server) as secure:
        for hop in (site.url, "file://", "ftp://localhost"):
            secure.faults = [status(302, Location="/next"), status(302, Location=f"{hop}/a.bin?token=S3cret")]
            site.faults = [status(302, Location=f"{secure.url}/a.bin")]
            with pytest.raises(TransferError, match="; refused") as refused:
                download(f"{secure.url}/x", tmp_path / "x", ca_bundle=bundle, patience=QUICK)
            assert "S3cret" not in str(refused.value)
        assert site.asked == []
        assert not (tmp_path / "x").exists()


def test_plain_address_is_said_and_may_lead_to_an_encrypted_one(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, bundle = make_certificate(tmp_path, "localhost")
    with serving(Site({"/a.bin": BODY}), server) as secure:
        site.faults = [status(302, Location=f"{secure.url}/a.bin")]
        download(f"{site.url}/x", tmp_path / "x", ca_bundle=bundle, patience=QUICK)
    assert "is not encrypted" in caplog.text


def test_digest_is_told_and_held(site: Site, tmp_path: Path) -> None:
    digest = hashlib.sha256(BODY).hexdigest()
    assert download(f"{site.url}/a.bin", tmp_path / "a.bin", patience=QUICK, sha256=digest) == digest
    with pytest.raises(TransferError, match=f"has SHA-256 {digest}, and 0{{64}} is asked for"):
        download(f"{site.url}/a.bin", tmp_path / "b.bin", patience=QUICK, sha256="0" * 64)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"], "nothing of it is kept"


def test_address_with_secrets_is_told_nowhere(site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"{site.url.replace('//', '//me:S3cret@')}/a.bin?token=S3cret"
    site.faults = [cut(1000), status(404, reason="x")]
    with pytest.raises(TransferError) as refused:
        download(url, tmp_path / "a.bin", patience=QUICK)
    noted = "".join(path.read_text() for path in tmp_path.glob(".*.json"))
    assert "S3cret" not in f"{refused.value}{caplog.text}{noted}"
    assert noted


@pytest.mark.parametrize("number", ["9" * 5000, "1" * 19, "-1", "\u00b2", "1e3"])
def test_sizes_that_are_no_sizes_are_refused(number: str, site: Site, tmp_path: Path) -> None:
    if number.isascii():
        site.faults = [lie(Content_Length=number, Connection="close")] * 9
        with pytest.raises(TransferError):
            download(f"{site.url}/a.bin", tmp_path / "a.bin", patience=QUICK)
    assert transfer._seconds(number) == 0


def test_range_file_reads_as_the_file_does(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "WINDOW_BYTES", 50_000)
    file = RangeFile(Remote(f"{site.url}/a.bin", patience=QUICK))
    file.plan([(1000, 200_000), (200_000, 300_000)])
    random = np.random.default_rng(3)
    for start in [0, 1000, 299_990, 1_999_990, *random.integers(0, 2_000_000, 30).tolist()]:
        assert file.seek(start) == start
        count = int(random.integers(1, 9000))
        block = file.read(count)
        assert block == BODY[start : start + count], "never a short read before the end"
    with pytest.raises(OSError, match="negative"):
        file.seek(-1)


def test_range_file_refuses_a_changed_file_and_a_server_without_ranges(site: Site) -> None:
    file = RangeFile(Remote(f"{site.url}/a.bin", patience=QUICK))
    site.etag = '"two"'
    with pytest.raises(TransferError, match="changed on the server; run it again"):
        file.read(10)
    site.ranges = False
    with pytest.raises(TransferError, match="does not serve ranges, which a part of an archive needs"):
        RangeFile(Remote(f"{site.url}/a.bin", patience=QUICK))
