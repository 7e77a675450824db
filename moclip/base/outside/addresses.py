"""Addresses as they may be told: who signs in, and every option, may be a secret, and neither is shown."""

import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

# What stands before an `@` of an address, however many of them a password has; a path may hold one too.
_USER = re.compile(r"(?<![/])//(?!/)(?:[^\s]*@|[^\s/?#]*%40)")
_OPTIONS = re.compile(r"(\w://[^\s?'\"]*?)(?:[?#]|;(?=\w+=))[^\s'\")>]+")
_MARK = re.compile(r"[?#]|;(?=\w+=)")  # behind which options stand
_SECRET = re.compile(
    r"(?i)(?P<name>\b['\"]?[\w-]*(?:password|passwd|pwd|token|secret|signature|api_?key)['\"]?)(?P<sign>\s*[=:]\s*|%3d)"
    r"(?P<value>'[^']*'|\"[^\"]*\"|\{[^}]*\}|[^&;,\s'\"]+)"
)
_LEAST_LETTERS = 3  # of a secret that is looked for by itself: a shorter one is part of any word


def without_secrets(text: str, *addresses: str) -> str:
    """The text without users, passwords and options of the addresses in it.

    Args:
        text: Such as the message of a library, which may quote an address or a part of it.
        addresses: Those in use: what is secret of them is found however it is quoted, also with blanks in it.

    >>> without_secrets("postgresql://me:p@ss/w@host/runs?sslpassword=x is down, PWD=x")
    'postgresql://host/runs?*** is down, PWD=***'
    >>> without_secrets("password 'c d' is wrong at http://a b:c d@h/x", "http://a b:c d@h")
    "password '***' is wrong at http://h/x"
    """
    for address in addresses:
        text = text.replace(address, shown_address(address))
        for secret in sorted(set(_secrets(address)), key=len, reverse=True):
            text = text.replace(secret, "***")
    return _SECRET.sub(r"\g<name>\g<sign>***", _OPTIONS.sub(r"\1?***", _USER.sub("//", text)))


def shown_address(address: str) -> str:
    """An address alone: of a user, a password and options nothing stays, whatever characters they hold.

    >>> shown_address("https://me:a b/c?d@host:8443/path?token=x#y")
    'https://host:8443/path?***'
    """
    scheme, mark, rest = address.partition("://")
    if not mark:
        return without_secrets(address)
    place, *options = _MARK.split(rest.rpartition("@")[2], maxsplit=1)
    host, slash, path = place.partition("/")
    return f"{scheme}://{host.rpartition('%40')[2]}{slash}{path}{'?***' if options else ''}"


def has_secrets(address: str) -> bool:
    """Whether an address may name a user or a password: a password may hold slashes, so a path must write `%40`."""
    rest = address.partition("://")[2]
    return "@" in rest or "%40" in rest.partition("/")[0]


def _secrets(address: str) -> Iterator[str]:
    """The passwords of an address, and its options that are called so, as they stand and decoded."""
    _, mark, rest = address.partition("://")
    user = rest.rpartition("@")[0] if mark else ""
    options = rest.partition("?")[2]
    found = [user, user.partition(":")[2]] if ":" in user else []
    found += [match["value"] for text in (options, unquote(options)) for match in _SECRET.finditer(text)]
    for secret in (form for one in found for form in (one, unquote(one), quote(one))):
        if len(secret) >= _LEAST_LETTERS:
            yield secret
