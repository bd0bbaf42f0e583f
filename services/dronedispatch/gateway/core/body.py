"""JSON bodies. What is right is decoded once, by msgspec; what is wrong is read again, to name every field that is.

JSON is that of RFC 8259: NaN and infinities are none. A byte order mark is looked over (section 8.1), a member that
stands twice is refused (section 4: receivers differ in which one counts).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET

from dronedispatch.gateway.core.contract import (
    SHOWN_CHARS_MAX,
    check_of,
    converted,
    field_errors,
    good_members,
    may_be_text,
    printable,
)
from dronedispatch.gateway.core.refusal import BadField, FieldError, NoJson

T = TypeVar("T", bound=msgspec.Struct)
Also = Callable[[Mapping[str, Any]], Iterable[FieldError]]
"""What a body's right members are refused for besides, by their names."""

BOM = b"\xef\xbb\xbf"
INTEGER_DIGITS_MAX = 400  # longer ones are beyond any double; Python reads no more than 4,300
DEPTH_MAX = 64  # the deepest document of ours, a MultiPolygon in a feature, needs eight
ERRORS_MAX = 20


def decode_body(kind: type[T], raw: bytes, also: Also | None = None) -> T:
    """The body as a `kind`.

    Raises NoJson (400), or BadField (422) with every wrong field and what `also` says of the others.
    """
    way = _way(kind)
    try:
        value = way.decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _looked_at(kind, raw, also)
    quotes = way.quotes
    for name, check in way.varying:
        found = getattr(value, name)
        if found.__class__ is str:
            quotes += 4
            if check is not None and check(found) is not None:
                return _looked_at(kind, raw, also)
        elif found is not UNSET:
            quotes += 2
    # A member's name and a text have two quotes each: with as many as these need, no member stands twice.
    return value if raw.count(b'"') == quotes else _looked_at(kind, raw, also)


def parse_json(raw: bytes) -> object:
    """The body as plain values. Raises NoJson, or BadField for what no document may hold: see `_faults`."""
    value = _read(raw)
    if errors := list(islice(_faults(value, 0), ERRORS_MAX)):
        raise BadField.of(errors)
    return value


@dataclass(frozen=True, slots=True)
class _Way(Generic[T]):
    """How a kind of body is decoded. `quotes`: those of the members that it always has and that are no texts."""

    decoder: msgspec.json.Decoder[T]
    quotes: int
    varying: tuple[tuple[str, Callable[[str], str | None] | None], ...]


@cache
def _way(kind: type[T]) -> _Way[T]:
    quotes, varying = 0, []
    for member in msgspec.structs.fields(kind):
        if isinstance(member.type, type) and issubclass(member.type, msgspec.Struct):
            inner = _way(member.type)
            assert member.required, "only the body's own members may be left out"
            assert not inner.varying, "only the body's own members may be texts"
            quotes += 2 + inner.quotes
        elif member.required and not may_be_text(member.type):
            quotes += 2
        else:
            varying.append((member.name, check_of(member.type)))
    return _Way(msgspec.json.Decoder(kind), quotes, tuple(varying))


def _looked_at(kind: type[T], raw: bytes, also: Also | None) -> T:
    value = _read(raw)
    errors = list(islice(_faults(value, 0), ERRORS_MAX))
    named = {error.field for error in errors}
    errors += [error for error in field_errors(kind, value) if error.field not in named]
    if not errors:
        return converted(kind, value)  # type: ignore[no-any-return]
    if also is not None:
        errors += also(good_members(kind, value))
    raise BadField.of(errors)


class _Twice(dict[str, Any]):
    """An object with a member, `name`, that stands more than once."""

    name = ""


def _read(raw: bytes) -> object:
    if not raw:
        raise NoJson("the body is empty, expected a JSON object")
    try:
        text = raw.removeprefix(BOM).decode()
    except UnicodeDecodeError as exc:
        raise NoJson(f"the body is not UTF-8: {exc.reason} at byte {exc.start}") from exc
    try:
        return json.loads(
            text, object_pairs_hook=_members, parse_int=_integer, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as exc:
        raise NoJson(f"the body is not JSON: {exc.msg} at character {exc.pos}") from exc
    except RecursionError as exc:
        raise NoJson("the body is nested too deeply") from exc


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    twice, seen = _Twice(found), set[str]()
    twice.name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return twice


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= INTEGER_DIGITS_MAX else float(digits)


def _refuse_constant(name: str) -> object:
    raise NoJson(f"the body is not JSON: {name} is no JSON number")


def _faults(value: object, depth: int) -> Iterator[FieldError]:
    """A member that stands twice, half a surrogate pair, a number beyond doubles, too deep a nesting."""
    if isinstance(value, str):
        if not value.isascii() and printable(value) != value:
            yield FieldError("", "holds half of a surrogate pair, which is not Unicode text")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield FieldError("", "is too great a number")
    elif depth > DEPTH_MAX:
        if isinstance(value, dict | list):
            yield FieldError("", f"is nested more than {DEPTH_MAX} deep")
    elif isinstance(value, list):
        for i, one in enumerate(value):
            if type(one) is not int:
                yield from (_within(f"[{i}]", error) for error in _faults(one, depth + 1))
    elif isinstance(value, dict):
        if isinstance(value, _Twice):
            yield FieldError(
                printable(value.name)[:SHOWN_CHARS_MAX], "stands more than once in the same object"
            )
        for name, one in value.items():
            shown = printable(name)
            if shown != name:
                yield FieldError(
                    shown[:SHOWN_CHARS_MAX], "holds half of a surrogate pair, which is not Unicode text"
                )
            yield from (_within(shown[:SHOWN_CHARS_MAX], error) for error in _faults(one, depth + 1))


def _within(name: str, error: FieldError) -> FieldError:
    if not error.field:
        return FieldError(name, error.detail)
    dot = "" if error.field.startswith("[") else "."
    return FieldError(f"{name}{dot}{error.field}", error.detail)
