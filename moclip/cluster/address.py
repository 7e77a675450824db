"""The address of a cluster: what `MOCLIP_CLUSTER` may say, and whether strangers could reach it."""

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from moclip.base.errors import ParamsError
from moclip.base.files import read_json

VARIABLE = "MOCLIP_CLUSTER"
SCHEMES = ("tls", "tcp")
_FORMS = "tls://HOST:PORT, tcp://HOST:PORT or the file that `dask scheduler --scheduler-file` wrote"


def address_of(text: str) -> str:
    """The scheduler's address that a text is, or that the scheduler's own file of that name has.

    Raises:
        ParamsError: it is neither.
    """
    if "://" not in text:
        if not Path(text).is_file():
            raise ParamsError(f"{VARIABLE} is {text}, which is no address and no file; it must be {_FORMS}")
        found = read_json(Path(text))
        text = str(found.get("address")) if isinstance(found, dict) else ""
    parts = urlsplit(text)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ParamsError(f"{VARIABLE} names {text!r}; it must be {_FORMS}")
    return text


def is_open_to_strangers(address: str) -> bool:
    """Whether it is without TLS and reached over a network: whoever reaches it runs code as its owner."""
    parts = urlsplit(address)
    if parts.scheme != "tcp" or parts.hostname == "localhost":
        return False
    try:
        return not ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:  # a name
        return True
