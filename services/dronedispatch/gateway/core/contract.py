"""A value held against a msgspec type, field by field, so that one answer names everything that is wrong.

msgspec itself stops at the first error. It decodes what is right (core/body.py); this looks at what it refused. The types
are the only statement of a contract: bounds, patterns and units are read from them, as the OpenAPI document is.
`Meta.extra` of a field may hold `unit` ("kg"), `above` (the sentence for a number over the bound), `expects` (what a text
must be) and `check` (a function from the value to the reason why it is refused, or None).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from dronedispatch.gateway.core.refusal import FieldError

T = TypeVar("T")
SHOWN_CHARS_MAX = 80  # of a member that nobody knows, as shown in a refusal


@cache
def described(kind: Any) -> inspect.Type:
    """msgspec's description of a type."""
    return inspect.type_info(kind)


def field_errors(kind: Any, value: object, path: str = "") -> list[FieldError]:
    """Everything that keeps the decoded JSON `value` from being a `kind`, in the order of the type's fields."""
    return _errors(described(kind), value, path)


def good_members(kind: type[msgspec.Struct], value: object) -> dict[str, Any]:
    """The members of `value` that are right by themselves, converted, by their names on the wire."""
    if not isinstance(value, dict):
        return {}
    return {
        member.encode_name: converted(member.type, value[member.encode_name])
        for member in msgspec.structs.fields(kind)
        if member.encode_name in value and not field_errors(member.type, value[member.encode_name])
    }


def converted(kind: Any, value: object) -> Any:
    """`value`, of which `field_errors` says nothing, as a `kind`. 3.0 is a whole number: JSON does not tell it from 3."""
    return msgspec.convert(_integral(described(kind), value), kind)


def text_value(kind: Any, text: str) -> object:
    """The value that a parameter's text stands for: a number where `kind` is one and `text` writes one, else the text."""
    digits = text.removeprefix("-")
    for one, _ in _alternatives(described(kind)):
        if isinstance(one, inspect.IntType) and digits.isascii() and digits.isdigit() and len(digits) < 19:
            return int(text)
    return text


def may_be_text(kind: Any) -> bool:
    """Whether a `kind` may be written as a JSON string."""
    return any(
        isinstance(one, inspect.StrType | inspect.EnumType) for one, _ in _alternatives(described(kind))
    )


def check_of(kind: Any) -> Callable[[str], str | None] | None:
    """The `check` of a text that may be a `kind`: what its pattern cannot say."""
    for one, extra in _alternatives(described(kind)):
        if isinstance(one, inspect.StrType) and "check" in extra:
            return extra["check"]  # type: ignore[no-any-return]
    return None


def kind_of(value: object) -> str:
    """A JSON value's kind, in words."""
    if value is None:
        return "null"
    names: dict[type, str] = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "text",
        list: "an array",
    }
    return names.get(type(value), "an object")


def _errors(kind: inspect.Type, value: object, path: str) -> list[FieldError]:
    bare, extra = _bare(kind)
    if isinstance(bare, inspect.StructType):
        return _members(bare, value, path)
    if isinstance(bare, inspect.UnionType):
        if value is None and any(isinstance(one, inspect.NoneType) for one in bare.types):
            return []
        [(bare, extra)] = _alternatives(bare)
    reason = _why_not(bare, extra, value)
    return [] if reason is None else [FieldError(path, reason)]


def _members(kind: inspect.StructType, value: object, path: str) -> list[FieldError]:
    if not isinstance(value, Mapping):
        return [FieldError(path, f"expected an object, got {kind_of(value)}")]
    found: list[FieldError] = []
    for field in kind.fields:
        name = f"{path}.{field.encode_name}" if path else field.encode_name
        if field.encode_name in value:
            found += _errors(field.type, value[field.encode_name], name)
        elif field.required:
            found.append(FieldError(name, "is missing"))
    known = [field.encode_name for field in kind.fields]
    for strange in value:
        if strange not in known:
            name = printable(str(strange))[:SHOWN_CHARS_MAX]
            found.append(
                FieldError(
                    f"{path}.{name}" if path else name, f"unknown field; known: {', '.join(known) or 'none'}"
                )
            )
    return found


def printable(text: str) -> str:
    """`text` with half surrogate pairs written as escapes: it can be sent as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _why_not(kind: inspect.Type, extra: Mapping[str, Any], value: object) -> str | None:
    if isinstance(kind, inspect.FloatType | inspect.IntType):
        reason = _why_no_number(kind, extra, value)
    elif isinstance(kind, inspect.StrType):
        reason = _why_no_text(kind, extra, value)
    elif isinstance(kind, inspect.EnumType):
        words = [str(member.value) for member in kind.cls]
        reason = None if value in words else f"is none of {', '.join(words)}"
    else:
        raise TypeError(f"no rule for {kind}")
    if reason is None and "check" in extra:
        return extra["check"](value)  # type: ignore[no-any-return]
    return reason


def _why_no_number(
    kind: inspect.FloatType | inspect.IntType, extra: Mapping[str, Any], value: object
) -> str | None:
    if isinstance(kind, inspect.IntType) and kind.ge is not None and kind.le is not None:
        expected = f"expected a whole number from {kind.ge} to {kind.le}"
    else:
        expected = "expected a whole number" if isinstance(kind, inspect.IntType) else "expected a number"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{expected}, got {kind_of(value)}"
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        return "is too great a number"
    unit = f" {extra['unit']}" if "unit" in extra else ""
    shown = f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else repr(number)
    if isinstance(kind, inspect.IntType):
        inside = (kind.ge is None or number >= kind.ge) and (kind.le is None or number <= kind.le)
        return None if number.is_integer() and inside else f"{expected}, got {shown}"
    if (kind.gt is not None and not number > kind.gt) or (kind.ge is not None and not number >= kind.ge):
        bound = f"greater than {kind.gt:g}" if kind.gt is not None else f"{kind.ge:g}{unit} or more"
        return f"is {shown}{unit}, and must be {bound}{unit if kind.gt is not None else ''}"
    if (kind.lt is not None and not number < kind.lt) or (kind.le is not None and not number <= kind.le):
        bound = f"less than {kind.lt:g}" if kind.lt is not None else f"{kind.le:g}"
        return f"is {shown}{unit}, and {extra.get('above', f'the most is {bound}{unit}')}"
    return None


def _why_no_text(kind: inspect.StrType, extra: Mapping[str, Any], value: object) -> str | None:
    if not isinstance(value, str):
        return f"expected {extra.get('expects', 'text')}, got {kind_of(value)}"
    if printable(value) != value:
        return "holds half of a surrogate pair, which is not Unicode text"
    if kind.min_length is not None and len(value) < kind.min_length:
        return "is empty" if not value else f"is shorter than {kind.min_length} characters"
    if kind.max_length is not None and len(value) > kind.max_length:
        return f"is longer than {kind.max_length} characters"
    if kind.pattern is not None and _pattern(kind.pattern).fullmatch(value) is None:
        return f"is not {extra['expects']}" if "expects" in extra else f"does not match {kind.pattern}"
    return None


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _bare(kind: inspect.Type) -> tuple[inspect.Type, Mapping[str, Any]]:
    """(the type without what is said about it, that)."""
    extra: dict[str, Any] = {}
    while isinstance(kind, inspect.Metadata):
        extra = (kind.extra or {}) | extra
        kind = kind.type
    return kind, extra


def _alternatives(kind: inspect.Type) -> list[tuple[inspect.Type, Mapping[str, Any]]]:
    """The types of a union, or the one."""
    bare, extra = _bare(kind)
    if not isinstance(bare, inspect.UnionType):
        return [(bare, extra)]
    return [_bare(one) for one in bare.types if not isinstance(one, inspect.NoneType)]


def _integral(kind: inspect.Type, value: object) -> object:
    if value is None:
        return None
    [(bare, _)] = _alternatives(kind)
    if isinstance(bare, inspect.IntType) and isinstance(value, float):
        return int(value)
    if isinstance(bare, inspect.StructType) and isinstance(value, Mapping):
        kinds = {field.encode_name: field.type for field in bare.fields}
        return {name: _integral(kinds[name], one) for name, one in value.items()}
    return value
