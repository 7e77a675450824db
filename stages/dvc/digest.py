"""The MD5 by which dvc.lock knows a file or a directory."""

import hashlib
import json
from pathlib import Path

from moclip.base.errors import StoreError


def md5(path: Path) -> str:
    """MD5 of a file; of a directory, MD5 of DVC's list of the files in it, with `.dir` behind.

    Raises:
        StoreError: the path is missing or unreadable.
    """
    try:
        if not path.is_dir():
            return _of_file(path)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        entries = [{"md5": _of_file(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    except OSError as error:
        raise StoreError(f"{path}: missing or unreadable; run `dvc repro` to make it") from error
    listing = json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True)
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _of_file(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
