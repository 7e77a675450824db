"""What the failure of a tracking server looks like: MLflow lets through the errors of all that carries its requests."""

import http.client
from collections.abc import Callable, Iterator
from typing import Any

# Libraries that carry requests to a server, to a database or to a store of artifacts; not all need be installed.
_TRANSPORTS = frozenset(
    [
        *("mlflow", "requests", "urllib3", "sqlalchemy", "sqlite3", "psycopg", "psycopg2", "pymysql"),
        *("botocore", "boto3", "s3transfer", "google", "azure", "paramiko", "pyarrow"),
    ]
)
_SYSTEM = (ConnectionError, TimeoutError, http.client.HTTPException)
_ABSENT = "RESOURCE_DOES_NOT_EXIST"


def is_of_transport(error: BaseException) -> bool:
    """Whether an error came on the way to a server or from it, rather than out of this project or this machine."""
    if isinstance(error, ModuleNotFoundError):  # the driver of an address
        return (error.name or "").partition(".")[0] not in ("", "moclip", "stages")
    kinds = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(kinds & _TRANSPORTS) or isinstance(error, _SYSTEM)


def is_absent(error: BaseException) -> bool:
    """Whether MLflow itself said that something does not exist; a gateway's 404 says nothing of the kind."""
    # By REST, MLflow's own answers are a class of their own; a database raises the plain one.
    is_told = type(error).__name__ == "RestException" or "failed with error code" not in str(error)
    return getattr(error, "error_code", None) == _ABSENT and is_told


def pages(search: Callable[..., Any], *arguments: Any, **options: Any) -> Iterator[Any]:
    """All that one of MLflow's searches finds, over all of its pages."""
    token = None
    while True:
        found = search(*arguments, **options, page_token=token)
        yield from found
        token = found.token
        if not token:
            return
