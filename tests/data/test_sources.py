"""UCF101 from archives behind a server on loopback: whole and in parts."""

import io
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import DataError
from moclip.data.fetch import sources, transfer
from moclip.data.fetch.archives import ArchiveError
from moclip.data.fetch.sources import Ucf101Source, fetch_ucf101
from moclip.data.fetch.transfer import Patience, TransferError
from moclip.data.ucf101 import LISTS, VIDEOS, find_ucf101
from tests.support.datasets import make_ucf101
from tests.support.hub_server import hub_environment
from tests.support.hub_server import serving as hub_serving
from tests.support.imports import ROOT
from tests.support.rar import rar, rar_member
from tests.support.servers import Site, cut, serving, status

QUICK = Patience(retries=3, backoff_seconds=0.001, longest_wait_seconds=0.01, connect_seconds=2, stall_seconds=5)
CLASSES = {f"Class{number:02d}": 9 for number in range(30)}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 classes of 9 clips in UCF101's layout; contents do not compress, as videos do not."""
    base = make_ucf101(tmp_path_factory.mktemp("ucf"), CLASSES)
    random = np.random.default_rng(0)
    for path in sorted((base / VIDEOS).rglob("*.avi")):
        path.write_bytes(random.bytes(int(random.integers(5_000, 40_000))))
    return base


def videos(base: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (base / VIDEOS).rglob("*.avi")}


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def site(layout: Path) -> Iterator[Site]:
    """Both hosts in one: the flat zip, the RAR in folders, and the zip of the lists."""
    found = videos(layout)
    lists = {f"ucfTrainTestlist/{path.name}": path.read_bytes() for path in (layout / LISTS).iterdir()}
    members = [rar_member(f"UCF-101/{name.split('_')[1]}/{name}", data) for name, data in found.items()]
    files = {
        "/v.zip": zipped({f"UCF101/{name}": data for name, data in found.items()}),
        "/v.rar": rar(*members),
        "/l.zip": zipped(lists),
    }
    with serving(Site(files)) as site:
        yield site


def source(site: Site, archive: str = "thumos", **part) -> Ucf101Source:
    name = "v.rar" if archive == "official" else "v.zip"
    return Ucf101Source(archive, url=f"{site.url}/{name}", lists_url=f"{site.url}/l.zip", **part)


@pytest.mark.parametrize("archive", ["thumos", "official"])
def test_whole_data_set_through_cuts(site: Site, layout: Path, tmp_path: Path, archive: str) -> None:
    if archive == "official":
        pytest.importorskip("libarchive", reason="needs libarchive-c and libarchive", exc_type=Exception)
    site.faults = [None, cut(1_000_000), status(502), cut(500_000)]
    fetch_ucf101(tmp_path, source(site, archive), patience=QUICK)
    assert videos(tmp_path) == videos(layout)
    found = find_ucf101(tmp_path, "ucf101")
    assert (found.complete, len(found.clips)) == (True, 270)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".fetch.lock", ".fetched.json", VIDEOS, LISTS]


def test_what_is_there_is_not_fetched_again(site: Site, layout: Path, tmp_path: Path) -> None:
    fetch_ucf101(tmp_path, source(site), patience=QUICK)
    asked = len(site.asked)
    fetch_ucf101(tmp_path, source(site), patience=QUICK)
    assert len(site.asked) == asked


def test_part_of_ten_classes_moves_its_members_and_the_directory(site: Site, layout: Path, tmp_path: Path) -> None:
    chosen = sorted(CLASSES)[3:23:2]
    fetch_ucf101(tmp_path, source(site, classes=chosen), patience=QUICK)
    found = find_ucf101(tmp_path, "ucf101", classes=chosen)
    assert (found.name, found.complete, len(found.clips)) == ("ucf101 (part)", False, 90)
    assert videos(tmp_path) == {n: data for n, data in videos(layout).items() if n.split("_")[1] in chosen}
    data = site.files["/v.zip"]
    members = sum(len(content) for content in videos(tmp_path).values())
    directory = len(data) - data.index(b"PK\x01\x02")
    moved = site.sent_bytes - len(site.files["/l.zip"])
    assert moved <= 1.05 * members + directory, f"{moved} for {members} + {directory}"


def test_part_through_cuts_and_after_a_failure_goes_on(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "WINDOW_BYTES", 100_000)
    chosen = sorted(CLASSES)[:4]
    site.faults = [*[None] * 4, cut(10_000), status(500), cut(30_000), None, None, *[status(503)] * 4]
    with pytest.raises(TransferError, match="gave up"):
        fetch_ucf101(tmp_path, source(site, classes=chosen), patience=QUICK)
    staged = list((tmp_path / f".{VIDEOS}.part").rglob("*.avi"))
    assert staged
    before = site.sent_bytes
    fetch_ucf101(tmp_path, source(site, classes=chosen), patience=QUICK)
    assert len(find_ucf101(tmp_path, "ucf101", classes=chosen).clips) == 36
    assert not (tmp_path / f".{VIDEOS}.part").exists()
    total = sum(map(len, videos(tmp_path).values()))
    assert site.sent_bytes - before < total, "what was staged is not moved again"


def test_clips_per_class_are_the_same_for_all_and_a_larger_part_adds(site: Site, tmp_path: Path) -> None:
    fetch_ucf101(tmp_path, source(site, clips_per_class=2), patience=QUICK)
    few = find_ucf101(tmp_path, "ucf101", clips_per_class=2)
    assert (few.name, len(few.clips)) == ("ucf101 (part)", 60)
    fetch_ucf101(tmp_path, source(site, clips_per_class=5), patience=QUICK)
    more = find_ucf101(tmp_path, "ucf101", clips_per_class=5)
    assert len(more.clips) == 150
    assert set(few.clips) < set(more.clips)
    assert find_ucf101(tmp_path, "ucf101", clips_per_class=2) == few, "other clips that lie there change nothing"


def test_part_of_a_rar_is_refused_before_anything_moves(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"official is a RAR archive, which cannot be read in parts; use thumos"):
        fetch_ucf101(tmp_path, source(site, "official", clips_per_class=2), patience=QUICK)
    assert not [path for path, _ in site.asked if path == "/v.rar"]


def test_disk_too_small_to_extract_keeps_the_archive(
    site: Site, layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, need_bytes: int) -> None:
        if folder.name == f".{VIDEOS}.part":
            raise TransferError("make room")

    monkeypatch.setattr("moclip.data.fetch.archives.require_space", full)
    with pytest.raises(TransferError, match="make room"):
        fetch_ucf101(tmp_path, source(site), patience=QUICK)
    monkeypatch.undo()
    asked = len(site.asked)
    fetch_ucf101(tmp_path, source(site), patience=QUICK)
    assert len(site.asked) == asked
    assert videos(tmp_path) == videos(layout)


def test_official_archive_needs_a_reader_before_it_is_fetched(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moclip.data.fetch.archives._libarchive", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ArchiveError, match="nothing here unpacks RAR"):
        fetch_ucf101(tmp_path, source(site, "official"), patience=QUICK)
    assert not [path for path, _ in site.asked if path == "/v.rar"]


def test_local_archive(site: Site, layout: Path, tmp_path: Path) -> None:
    archive = tmp_path / "mine.zip"
    archive.write_bytes(site.files["/v.zip"])
    given = Ucf101Source(str(archive), lists_url=f"{site.url}/l.zip", classes=["Class01", "Class07"])
    fetch_ucf101(tmp_path / "root", given, patience=QUICK)
    assert len(videos(tmp_path / "root")) == 18
    assert archive.is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"UCF101/v_Other_g01_c01.avi": b"x"}, r"1 videos are in no list, first UCF101/v_Other_g01_c01\.avi"),
        ({"UCF101/v_Class00_g01_c01.avi": None}, r"lacks 1 of 270 wanted videos, first v_Class00_g01_c01"),
        ({"more/v_Class00_g01_c01.avi": b"x"}, r"are both Class00/v_Class00_g01_c01\.avi"),
    ],
    ids=["extra", "missing", "twice"],
)
def test_archive_that_disagrees_with_the_lists(site: Site, layout: Path, tmp_path: Path, change, message: str) -> None:
    files = {f"UCF101/{name}": data for name, data in videos(layout).items()} | change
    site.files["/v.zip"] = zipped({name: data for name, data in files.items() if data is not None})
    with pytest.raises(ArchiveError, match=message):
        fetch_ucf101(tmp_path, source(site), patience=QUICK)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".fetch.lock", ".fetched.json", "thumos.archive", LISTS]
    asked = len(site.asked)
    with pytest.raises(ArchiveError, match=message):
        fetch_ucf101(tmp_path, source(site), patience=QUICK)
    assert len(site.asked) == asked, "what was long in coming is neither thrown away nor fetched again"


def test_few_missing_videos_are_brought_by_ranges(site: Site, layout: Path, tmp_path: Path) -> None:
    fetch_ucf101(tmp_path, source(site), patience=QUICK)
    gone = sorted((tmp_path / VIDEOS).rglob("*.avi"))[::50]
    for path in gone:
        path.unlink()
    before = site.sent_bytes
    fetch_ucf101(tmp_path, source(site), patience=QUICK)
    assert videos(tmp_path) == videos(layout)
    assert site.sent_bytes - before < len(site.files["/v.zip"]) / 10


def test_names_in_other_capitals_are_stored_as_listed(site: Site, layout: Path, tmp_path: Path) -> None:
    site.files["/v.zip"] = zipped({f"UCF101/{n.replace('Class', 'CLASS')}": d for n, d in videos(layout).items()})
    fetch_ucf101(tmp_path, source(site), patience=QUICK)
    assert videos(tmp_path) == videos(layout)


def test_lists_zip_that_lacks_some(site: Site, layout: Path, tmp_path: Path) -> None:
    site.files["/l.zip"] = zipped({"l/classInd.txt": (layout / LISTS / "classInd.txt").read_bytes()})
    with pytest.raises(DataError, match=r"lacks some of .*trainlist01.*which are the lists of UCF101"):
        fetch_ucf101(tmp_path, source(site), patience=QUICK)


def test_two_processes_bring_it_once(site: Site, layout: Path, tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            fetch_ucf101(tmp_path, source(site), patience=QUICK)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert [path for path, _ in site.asked] == ["/l.zip", "/v.zip"]
    assert videos(tmp_path) == videos(layout)


@pytest.mark.parametrize("archive", ["thumos", "official"])
def test_without_a_network_it_ends_at_once_with_the_files_to_bring(tmp_path: Path, archive: str) -> None:
    nowhere = Ucf101Source(archive, url="https://nowhere.invalid/v.zip", lists_url="https://nowhere.invalid/l.zip")
    with pytest.raises(DataError) as refused:
        fetch_ucf101(tmp_path / "root", nowhere)
    told = str(refused.value)
    for words in ("nowhere.invalid/v.zip", "nowhere.invalid/l.zip", f"{tmp_path / 'root' / LISTS}/", "classInd.txt"):
        assert words in told
    assert f"{tmp_path / 'root' / VIDEOS}/, one folder a class, and set data.archive: null" in told
    assert not list((tmp_path / "root").glob("*.archive"))


FROM_HUB = """
import sys
from pathlib import Path
from moclip.base.errors import MoclipError
from moclip.data.fetch.sources import Ucf101Source, fetch_ucf101
try: fetch_ucf101(Path(sys.argv[1]), Ucf101Source("hub", sha256=sys.argv[2] if len(sys.argv) > 2 else None))
except MoclipError as error: print(f"{type(error).__name__}: {error}")
"""


def from_hub(endpoint: str, home: Path, *words: str) -> str:
    """A process of its own: the hub library reads its address once."""
    command = [sys.executable, "-c", FROM_HUB, *words]
    environment = hub_environment(endpoint, home)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def test_the_hubs_copy_is_brought_once_and_held_to_lists_and_digest(site: Site, layout: Path, tmp_path: Path) -> None:
    folder = f"datasets/{sources.HUB_REPOSITORY}"
    files = {f"{folder}/UCF101.zip": site.files["/v.zip"]}
    files[f"{folder}/UCF101TrainTestSplits-RecognitionTask.zip"] = site.files["/l.zip"]
    with hub_serving(files) as hub:
        told = from_hub(hub.url, tmp_path / "home", str(tmp_path / "root"), "0" * 64)
        assert "UCF101.zip: has SHA-256" in told
        assert from_hub(hub.url, tmp_path / "home", str(tmp_path / "root")) == ""
        assert videos(tmp_path / "root") == videos(layout)
        assert sum(request.startswith("GET /cdn/") for request in hub.requests) == 2, "each file once"
        hub.requests.clear()
        assert from_hub(hub.url, tmp_path / "home", str(tmp_path / "again")) == "", "out of the cache"
        assert not hub.requests
    told = from_hub("http://127.0.0.1:9", tmp_path / "empty", str(tmp_path / "none"))
    assert re.search(r"DataError: .*cannot be had.*Bring the files from elsewhere: .*UCF101\.zip of the data set", told)


def test_addresses_are_encrypted() -> None:
    assert all(url.startswith("https://") for url in [*sources.URLS.values(), sources.LISTS_URL])
