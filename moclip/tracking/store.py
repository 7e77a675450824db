"""Where MLflow keeps runs: a database in the repository, or a server. And how its address is shown."""

import platform
import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, urlsplit

from moclip.base.errors import StoreError
from moclip.base.files import fingerprint
from moclip.base.outside.addresses import shown_address, without_secrets

VARIABLE = "MLFLOW_TRACKING_URI"
_SERVERS, _DATABASES = ("http", "https"), ("postgresql", "mysql", "mssql")
_FORMS = "http://HOST:PORT, sqlite:///FILE or postgresql://USER@HOST/DATABASE"
_USER = re.compile(r"//(?!/)[^\s]*@")
_PLAIN_FILE = re.compile(r"sqlite:///([\w./-]+)", re.ASCII)  # nothing in it is escaped
_PASSWORD = re.compile(r"(?i)\b(\w*(?:password|passwd|pwd|token|secret))=[^&\s]+")


class ServerError(StoreError):
    """The tracking server or the database cannot be reached, or refuses."""


@dataclass(frozen=True)
class Store:
    """The address of the runs: `artifacts` is None where a server chooses; all writers of a clone share `lock`."""

    uri: str = field(repr=False)  # it may hold a password
    artifacts: str | None
    lock: Path

    @property
    def is_file(self) -> bool:
        """Whether this is a database file rather than a server, which may be down for a while."""
        return self.uri.startswith("sqlite")

    @property
    def file(self) -> Path:
        """The database file."""
        return Path(_database(self.uri))

    @property
    def shown(self) -> str:
        """The address without user, password and options, for messages."""
        return str(self.file) if self.is_file else shown_address(self.uri)

    @property
    def target(self) -> str:
        """Stands for this address, whoever signs in and with which password."""
        return fingerprint(_PASSWORD.sub(r"\1=***", _USER.sub("//", self.uri)).rstrip("/"))

    @property
    def clone(self) -> str:
        """Stands for this clone of the repository on this machine, beside others that write to the same server."""
        return fingerprint(platform.node(), str(self.lock.parent.resolve()))

    def artifacts_of(self, experiment: str) -> str | None:
        """Where the files of an experiment go; None where a server chooses."""
        return self.artifacts and f"{self.artifacts}/{quote(experiment)}"


def store_at(root: Path, uri: str | None = None) -> Store:
    """The store for the repository `root`: SQLite inside it unless `uri` says otherwise.

    A relative SQLite path counts from `root`, never from the working directory: a temporary copy of
    the repository takes its database along when it is removed. `postgresql://` means the driver that
    is installed: SQLAlchemy 2.1 takes it for psycopg 3 alone.

    Raises:
        StoreError: `uri` is no address that MLflow has a store for; it is not shown whole.
    """
    uri = re.sub(r"^\w+(?=[:+])", lambda scheme: scheme[0].lower(), (uri or "").strip())
    scheme = uri.partition("://")[0].partition("+")[0] if "://" in uri else ""
    if not uri or scheme == "sqlite":
        uri = _sqlite(root, uri)
    elif scheme in _DATABASES:
        _check_database(uri)
        if find_spec("psycopg") is None:
            uri = re.sub("^postgresql://", "postgresql+psycopg2://", uri)
    elif scheme not in _SERVERS:
        shown = re.sub(".*@", "", shown_address(uri))
        raise StoreError(
            f"{VARIABLE}: {shown!r} is no address of a tracking server or database; write one as {_FORMS}, "
            "or unset it for the database in the repository"
        )
    else:
        _check_server(uri)
    artifacts = None if scheme in _SERVERS else (root / "mlartifacts").as_uri()
    return Store(uri, artifacts, root / "mlflow.db.lock")


def _sqlite(root: Path, uri: str) -> str:
    """The address of a database file, whose path may hold any character."""
    plain = f"sqlite:///{root / 'mlflow.db'}"
    if not uri and _PLAIN_FILE.fullmatch(plain):
        return plain
    from sqlalchemy import URL, make_url

    given = make_url(uri or "sqlite:///mlflow.db")
    name = given.database or ""
    if not name or (uri and not re.match(r"sqlite(\+\w+)?:///", uri)):
        raise StoreError(
            f"{VARIABLE}: {shown_address(uri)!r} names no file; write sqlite:///FILE, or sqlite:////FILE from the root"
        )
    if name.startswith(("~", "$")):
        raise StoreError(
            f"{VARIABLE}: {shown_address(uri)!r} holds `{name[0]}`, which only a shell expands; write the whole path"
        )
    if name == ":memory:" or name.startswith("file:"):
        return uri
    path = str(root / name)
    # MLflow makes the folder that it reads off `sqlite:///...` as it stands, escapes and all: not with a driver's name.
    driver = "sqlite" if _as_it_stands(path) else "sqlite+pysqlite"
    address = URL.create(driver, database=path, query=given.query).render_as_string(hide_password=False)
    if make_url(address).database != path:
        raise StoreError(f"{path}: SQLAlchemy before 2.1 cannot address this path; `make setup` brings a newer one")
    return address


def _as_it_stands(path: str) -> bool:
    from sqlalchemy import URL

    return URL.create("sqlite", database=path).render_as_string() == f"sqlite:///{path}"


def _database(uri: str) -> str:
    if plain := _PLAIN_FILE.fullmatch(uri):
        return plain[1]
    from sqlalchemy import make_url

    return make_url(uri).database or ""


def _check_database(uri: str) -> None:
    """Refuse an address that the library cannot read, or reads otherwise than it was meant."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    _check_user(uri)
    try:
        make_url(uri)
    except (ArgumentError, ValueError) as error:
        raise _unreadable(uri, "its port is no number, or an `@` is missing before the host") from error


def _check_server(uri: str) -> None:
    """Refuse what no server can have as its address, such as one that was copied with a page of its UI."""
    _check_user(uri)
    try:
        parts = urlsplit(uri)
        is_whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise _unreadable(uri, "its host or its port is none") from error
    if not is_whole or re.search(r"[\s\x00-\x1f]", uri):
        raise _unreadable(uri, "its host or its port is none")
    if parts.query or parts.fragment:
        raise StoreError(
            f"{VARIABLE}: an address of a server ends with its path: "
            f"leave out `{uri[min(uri.find(sign) for sign in '?#' if sign in uri)]}` and what follows it"
        )


def _check_user(uri: str) -> None:
    """Refuse a password with a raw `@`, which some libraries take for the end of it."""
    if uri.count("@") > 1:
        raise StoreError(
            f"{VARIABLE}: {shown_address(uri)!r} has more than one `@`; write those of the user's name and password "
            "as %40"
        )


def connect_once(uri: str) -> None:
    """Connect once to a database server: MLflow tries for 100 s before it says what is wrong."""
    from sqlalchemy import NullPool, create_engine, make_url

    if not uri.startswith(_DATABASES):
        return
    url = make_url(uri)
    if url.get_backend_name() == "postgresql" and "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": "10"})
    create_engine(url, poolclass=NullPool).connect().close()


def first_line(error: Exception, *addresses: str) -> str:
    """The first line of an error, at most 300 characters, without secrets, in it and of the addresses in use."""
    return without_secrets(str(error).strip().partition("\n")[0], *addresses)[:300]


def _unreadable(uri: str, why: str) -> StoreError:
    """What stands where a host should may be part of a password: no more than the scheme is shown."""
    return StoreError(
        f"{VARIABLE}: {uri.partition('://')[0]}://... cannot be read: {why}; write one as {_FORMS}, "
        "with `/ @ : # ?` of a password as %2F %40 %3A %23 %3F"
    )
