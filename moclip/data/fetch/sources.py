"""Where UCF101 comes from, and how a data root that lacks some of it is filled: once, by one process at a time."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from moclip.base.errors import DataError
from moclip.base.files import read_json, remove, write_json
from moclip.base.outside.addresses import shown_address
from moclip.data.fetch.archives import Archive, ArchiveError, Zip, extract, open_archive, require_rar
from moclip.data.fetch.transfer import NoHostError, Patience, RangeFile, Remote, download, hold_digest
from moclip.data.ucf101 import LIST_FILES, LISTS, VIDEOS, listed_videos

log = logging.getLogger(__name__)

_CRCV = "https://www.crcv.ucf.edu/data/UCF101"
OFFICIAL = "official"
THUMOS = "thumos"
URLS = {
    OFFICIAL: f"{_CRCV}/UCF101.rar",
    THUMOS: "https://storage.googleapis.com/thumos14_files/UCF101_videos.zip",
}
LISTS_URL = f"{_CRCV}/UCF101TrainTestSplits-RecognitionTask.zip"
HUB = "hub"
HUB_REPOSITORY, HUB_VIDEOS, HUB_LISTS = "MichiganNLP/ucf-101", "UCF101.zip", "UCF101TrainTestSplits-RecognitionTask.zip"
"""A copy of the same files among the data sets of the Hugging Face Hub."""

KNOWN = (*URLS, HUB)
_NOTE = ".fetched.json"  # beside the videos: their archives are removed once they are unpacked


@dataclass(frozen=True)
class Ucf101Source:
    """What to bring, and from where.

    Attributes:
        archive: `official`, `thumos`, `hub`, or the path of a local archive.
        url: Address instead of the known one; None takes that of `archive`.
        lists_url: Address of the train/test lists; None takes the official one.
        ca_bundle: Certificates to trust instead of the system's.
        classes: Only these; None takes all.
        clips_per_class: So many of each class; None takes all.
        sha256: SHA-256 that the archive of the videos must have, in hexadecimal; None takes any.
        lists_sha256: The same of the archive of the lists.
    """

    archive: str
    url: str | None = None
    lists_url: str | None = None
    ca_bundle: Path | None = None
    classes: Sequence[str] | None = None
    clips_per_class: int | None = None
    sha256: str | None = None
    lists_sha256: str | None = None

    @property
    def part(self) -> bool:
        """Whether this is less than the whole data set."""
        return self.classes is not None or self.clips_per_class is not None


def fetch_ucf101(root: Path, source: Ucf101Source, *, patience: Patience | None = None) -> None:
    """Bring what `root` lacks of the wanted videos and of the lists; what is there is left as it is.

    A second process waits for the first, and then finds all in place.

    Raises:
        DataError: the archive lacks wanted videos, holds others, or cannot be brought or read.
    """
    root.mkdir(parents=True, exist_ok=True)
    with _alone(root):
        try:
            _fetch_lists(root, source, patience)
            _fetch_videos(root, source, patience)
        except (NoHostError, _HubError) as error:
            raise DataError(f"{error}. {_by_hand(root, source)}") from error


class _HubError(DataError):
    """The hub does not give a file."""


def _by_hand(root: Path, source: Ucf101Source) -> str:
    """What to bring where there is no network, and where to put it."""
    from_hub = source.archive == HUB
    videos = f"{HUB_VIDEOS} of the data set {HUB_REPOSITORY} on the hub" if from_hub else shown_address(_url(source))
    lists = f"{HUB_LISTS} beside it" if from_hub and source.lists_url is None else shown_address(_lists_url(source))
    return (
        f"Bring the files from elsewhere: unpack the lists ({lists}) into {root / LISTS}/ ({', '.join(LIST_FILES)}), "
        f"and the videos ({videos}) into {root / VIDEOS}/, one folder a class, and set data.archive: null; or leave "
        "the videos packed, and set data.archive to the path of their zip or RAR"
    )


def _url(source: Ucf101Source) -> str:
    return source.url or URLS.get(source.archive, URLS[THUMOS])


def _lists_url(source: Ucf101Source) -> str:
    return source.lists_url or LISTS_URL


def _from_hub(name: str, sha256: str | None) -> tuple[Path, str]:
    """A file of the hub's copy, in the hub library's own cache, and its SHA-256."""
    from moclip.base.hub import hub_file

    try:
        path = hub_file(HUB_REPOSITORY, [name], "dataset")
    except DataError as error:
        raise _HubError(str(error)) from error
    return path, hold_digest(path, sha256, of=f"{HUB_REPOSITORY}/{name}")


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    lock = FileLock(root / ".fetch.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("%s: another process is bringing the videos; waiting for it", root)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch_lists(root: Path, source: Ucf101Source, patience: Patience | None) -> None:
    missing = [name for name in LIST_FILES if not (root / LISTS / name).is_file()]
    if not missing:
        return
    from_hub = source.archive == HUB and source.lists_url is None
    if from_hub:
        path, digest = _from_hub(HUB_LISTS, source.lists_sha256)
    else:
        path = root / "lists.zip"
        digest = download(
            _lists_url(source), path, ca_bundle=source.ca_bundle, patience=patience, sha256=source.lists_sha256
        )

    def place(name: str) -> PurePosixPath | None:
        base = PurePosixPath(name).name
        return PurePosixPath(base) if base in missing else None

    try:
        with open_archive(path) as archive:
            count = extract(archive, root / LISTS, place)
    finally:
        if not from_hub:  # that one is the cache's
            remove(path)
    if count < len(missing):
        shown = str(path) if from_hub else shown_address(_lists_url(source))
        raise DataError(f"{shown}: lacks some of {missing}, which are the lists of UCF101")
    _note(root, "lists", digest)


def _fetch_videos(root: Path, source: Ucf101Source, patience: Patience | None) -> None:
    every = listed_videos(root)
    wanted = listed_videos(root, classes=source.classes, clips_per_class=source.clips_per_class)
    missing = {stem: name for stem, name in wanted.items() if not (root / VIDEOS / name / f"{stem}.avi").is_file()}
    if not missing:
        return
    log.info("%s: %d of %d wanted videos are missing; bringing them", root, len(missing), len(wanted))
    if source.archive == HUB:
        path, digest = _from_hub(HUB_VIDEOS, source.sha256)
        with open_archive(path) as archive:
            _take(archive, root, every, missing)
        _note(root, "archive", digest)
        return
    if source.archive not in URLS:
        digest = hold_digest(Path(source.archive), source.sha256, of=f"data.archive: {source.archive}")
        with open_archive(Path(source.archive)) as archive:
            _take(archive, root, every, missing)
        _note(root, "archive", digest)
        return
    url = _url(source)
    if source.part and source.archive == OFFICIAL:
        raise DataError("data.archive: official is a RAR archive, which cannot be read in parts; use thumos for a part")
    if source.archive == THUMOS and source.sha256 is None and (source.part or 2 * len(missing) < len(every)):
        with Remote(url, ca_bundle=source.ca_bundle, patience=patience) as remote, RangeFile(remote) as file:
            _take(Zip(url, file, file.size), root, every, missing)
        log.info("%s: moved %.1f MB for %d videos", remote.shown, remote.moved_bytes / 1e6, len(missing))
        return
    if source.archive == OFFICIAL:
        require_rar(url)  # before gigabytes are moved that nothing here could open
    path = root / f"{source.archive}.archive"
    if path.is_file():
        digest = hold_digest(path, source.sha256, of=str(path))
    else:
        digest = download(url, path, ca_bundle=source.ca_bundle, patience=patience, sha256=source.sha256)
    with open_archive(path) as archive:
        _take(archive, root, every, missing)
    _note(root, "archive", digest)
    remove(path)  # its members are out and were checked; kept on any error, for it may be good and was long in coming


def fetched_digests(root: Path) -> dict[str, str]:
    """SHA-256 of what videos and lists below `root` came out of: `archive` and `lists`, as far as they are known.

    Of an archive that was read in parts there is none.
    """
    return dict(read_json(root / _NOTE)) if (root / _NOTE).is_file() else {}


def _note(root: Path, what: str, digest: str) -> None:
    log.info("%s: SHA-256 of the %s %s", root, {"lists": "lists'", "archive": "videos'"}[what] + " archive", digest)
    write_json(root / _NOTE, fetched_digests(root) | {what: digest})


def _take(archive: Archive, root: Path, every: Mapping[str, str], missing: Mapping[str, str]) -> None:
    """Extract the missing videos; all names of the archive are held against the lists before."""
    _check_names(archive, every, missing)

    def place(name: str) -> PurePosixPath | None:
        stem = _listed_stem(name, spelled)
        return PurePosixPath(missing[stem], f"{stem}.avi") if stem in missing else None

    spelled = {stem.casefold(): stem for stem in every}
    extract(archive, root / VIDEOS, place)


def _check_names(archive: Archive, every: Mapping[str, str], missing: Mapping[str, str]) -> None:
    spelled = {stem.casefold(): stem for stem in every}
    names = [entry.name for entry in archive.entries() if entry.kind == "file" and entry.name.lower().endswith(".avi")]
    stems = {name: _listed_stem(name, spelled) for name in names}
    if extra := sorted(name for name, stem in stems.items() if not stem):
        raise ArchiveError(f"{archive.name}: {len(extra)} videos are in no list, first {extra[0]}; it is not UCF101")
    if lacking := sorted(set(missing) - set(stems.values())):
        raise ArchiveError(
            f"{archive.name}: lacks {len(lacking)} of {len(missing)} wanted videos, first {lacking[0]}; "
            "it is cut short or not UCF101"
        )
    respelled = [name for name, stem in stems.items() if PurePosixPath(name).stem != stem]
    if respelled:
        log.info(
            "%d names differ from the lists by case alone, first %s; stored as listed", len(respelled), respelled[0]
        )


def _listed_stem(name: str, spelled: Mapping[str, str]) -> str:
    """The listed id of a member, whatever folder it lies in and whatever its capitals; empty where there is none."""
    path = PurePosixPath(name)
    return spelled.get(path.stem.casefold(), "") if path.suffix.lower() == ".avi" else ""
