"""What every section of the parameters shares: strict types, no unknown keys, errors that a person can act on."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from moclip.base.errors import ParamsError
from moclip.base.outside.addresses import shown_address, without_secrets

T = TypeVar("T")
Select = Literal["val", "test", "last"]  # whose accuracy chooses the epoch that is kept


def _written_out(path: str) -> str:
    if re.match(r"~|\$\w|\$\{", path):
        raise ValueError("only a shell expands ~ and $NAME; write the path out, such as /home/me/data")
    if "\0" in path or "\n" in path:
        raise ValueError("a path has one line")
    return path


PathText = Annotated[str, Field(min_length=1), AfterValidator(_written_out)]
"""A path as a parameter: relative to the repository or whole. Nothing expands it, so a ~ at its start is refused."""


class Section(BaseModel):
    """One section of params.yaml. Numbers must be finite, keys known, types exact (`1` is not `true`)."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def validated(name: str, kind: type[T], value: Any) -> T:
    """Check one top-level entry of the parameters against its model or type.

    Raises:
        ParamsError: names each offending key, the rule it breaks and the value it has.
    """
    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        lines = [_describe(name, detail) for detail in error.errors(include_url=False)]
        raise ParamsError("\n".join(lines)) from error


def _describe(name: str, detail: Any) -> str:
    key = ".".join([name, *map(str, detail["loc"])])
    if detail["type"] == "missing":
        return f"parameter '{key}': required, but missing"
    given = detail["input"]
    # What is wrong of an address may be a password in it.
    value = repr(shown_address(given)) if isinstance(given, str) and "://" in given else without_secrets(repr(given))
    if detail["type"] == "extra_forbidden":
        return f"parameter '{key}': no such parameter (value {value}); check its spelling"
    told = "" if is_of_keys(detail) else f" (value {value})"
    return f"parameter '{key}': {broken_rule(detail)}{told}"


def is_of_keys(fault: Mapping[str, Any]) -> bool:
    """Whether an error is of keys that do not go together, which the rule names: their whole mapping tells no more."""
    return fault["type"] == "value_error" and isinstance(fault["input"], Mapping)


def broken_rule(fault: Mapping[str, Any]) -> str:
    """What one of the errors of a `ValidationError` says, without the library's name of its kind."""
    return str(fault["msg"]).removeprefix("Value error, ")
