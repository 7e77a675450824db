"""Model repositories on the Hugging Face Hub: cached files without a network, others fetched or soon refused; uploads.

Everything goes by the hub library's own settings: HF_ENDPOINT, HF_HOME, HF_HUB_OFFLINE, HF_HUB_ETAG_TIMEOUT.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from moclip.base.errors import DataError, StoreError
from moclip.base.files import sha256_file
from moclip.base.progress import Progress

constants.HF_HUB_DISABLE_TELEMETRY = True  # whoever imported the library first


Kind = Literal["model", "dataset"]


def hub_file(repository: str, names: Sequence[str], kind: Kind = "model", most_bytes: int | None = None) -> Path:
    """The first of these files that the repository has, by preference; what is in the cache needs no network.

    Args:
        repository: Its name, `owner/name`.
        names: Of files in it.
        kind: What it is a repository of.
        most_bytes: Of the file; None takes any size.

    Raises:
        DataError: none can be had, or it is too large; says which file to fetch from where.
        StoreError: the file's bytes are not those that the hub announced.
    """
    cached = (huggingface_hub.try_to_load_from_cache(repository, name, repo_type=kind) for name in names)
    path = next((Path(file) for file in cached if isinstance(file, str)), None) or _fetched(
        repository, names, kind, most_bytes
    )
    digest = path.resolve().name  # the cache names a large file's bytes by their SHA-256
    if re.fullmatch(r"[0-9a-f]{64}", digest) and sha256_file(path) != digest:
        raise StoreError(f"{path}: damaged, its SHA-256 is not the one that the hub announced; delete {path.resolve()}")
    return path


def push_folder(repository: str, folder: Path, told: str) -> str:
    """Upload all files of a folder as one commit, into a repository that is made where there is none.

    Args:
        repository: Its name, `owner/name`.
        folder: With nothing but what is to be uploaded.
        told: Message of the commit.

    Returns:
        Address of the commit.

    Raises:
        DataError: the hub refuses, or cannot be reached.
    """
    api = huggingface_hub.HfApi()
    try:
        api.create_repo(repository, exist_ok=True)
        return str(api.upload_folder(repo_id=repository, folder_path=folder, commit_message=told).commit_url)
    except Exception as error:  # each transport has kinds of its own
        raise DataError(
            f"{repository} at {constants.ENDPOINT} takes no upload ({_one_line(error)}). `hf auth login` makes you "
            "known to the hub; the files are still here"
        ) from error


def cached_repositories() -> list[str]:
    """Names of the model repositories of which something is on this machine."""
    folders = Path(constants.HF_HUB_CACHE).glob("models--*")
    return sorted(folder.name.removeprefix("models--").replace("--", "/") for folder in folders)


def _fetched(repository: str, names: Sequence[str], kind: Kind, most_bytes: int | None) -> Path:
    fault: Exception | None = None
    for name in names:
        try:
            size = _size(huggingface_hub.hf_hub_url(repository, name, repo_type=kind)) or 0
            if most_bytes is not None and size > most_bytes:
                raise DataError(f"it states {size:,} bytes, more than {most_bytes:,}")
            return Path(huggingface_hub.hf_hub_download(repository, name, repo_type=kind, tqdm_class=Progress))
        except EntryNotFoundError as error:
            fault = error  # the repository is there: it may have the next name
        except Exception as error:  # each transport has kinds of its own
            fault = error
            break
    url = huggingface_hub.hf_hub_url(repository, names[0], repo_type=kind)
    raise DataError(
        f"{' or '.join(names)} of the hub's repository {repository} cannot be had ({_one_line(fault)}). "
        f"Fetch {url} where there is a network"
    ) from fault


def _size(url: str) -> int | None:
    """The bytes that a file states, by one request: without a network, the download itself repeats it for a minute."""
    try:
        return huggingface_hub.get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT).size
    except HfHubHTTPError as error:
        if error.response.status_code < 500 and error.response.status_code != 429:
            raise  # a busy server is worth the download's patience, a refusal is not
        return None


def _one_line(error: Exception | None) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
