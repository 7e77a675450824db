"""Where MLflow keeps runs: a database in the repository, or a server."""

import platform
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from moclip.base.errors import StoreError
from moclip.base.files import fingerprint


class ServerError(StoreError):
    """The tracking server or the database cannot be reached, or refuses."""


@dataclass(frozen=True)
class Store:
    """The address of the runs: `artifacts` is None where a server chooses; all writers of a clone share `lock`."""

    uri: str
    artifacts: str | None
    lock: Path

    @property
    def is_file(self) -> bool:
        """Whether this is a database file rather than a server, which may be down for a while."""
        return self.uri.startswith("sqlite:")

    @property
    def shown(self) -> str:
        """The address without a password, for messages."""
        return without_password(self.uri)

    @property
    def clone(self) -> str:
        """Stands for this clone of the repository on this machine, beside others that write to the same server."""
        return fingerprint(platform.node(), str(self.lock.parent.resolve()))


def store_at(root: Path, uri: str | None = None) -> Store:
    """The store for the repository `root`: SQLite inside it unless `uri` says otherwise.

    A relative SQLite path counts from `root`, never from the working directory: a temporary copy of
    the repository takes its database along when it is removed. `postgresql://` means the driver that
    is installed: SQLAlchemy 2.1 takes it for psycopg 3 alone.
    """
    uri = uri or "sqlite:///mlflow.db"
    if find_spec("psycopg") is None:
        uri = re.sub("^postgresql://", "postgresql+psycopg2://", uri)
    prefix, _, path = uri.partition("sqlite:///")
    if not prefix and path:
        uri = f"sqlite:///{root / path}"
    remote = uri.startswith(("http://", "https://"))
    artifacts = None if remote else (root / "mlartifacts").as_uri()
    return Store(uri, artifacts, root / "mlflow.db.lock")


def first_line(error: Exception) -> str:
    """The first line of an error, at most 300 characters, without a password."""
    return without_password(str(error).strip().partition("\n")[0][:300])


def without_password(text: str) -> str:
    """The text with the user's name and password taken out of its addresses."""
    return re.sub(r"//[^/@\s]*@", "//", text)
