"""JSON bodies, taken apart by hand: the refusal names the field, which a generic decoder cannot promise.

NaN and infinities are no JSON (RFC 8259, section 6): the parser refuses them before a field is looked at.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping

import msgspec

from dronedispatch.fleet.documents import stamp, unstamp
from dronedispatch.fleet.positions import LatLon

_RFC3339 = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)"
)


class NoJson(ValueError):
    """The body is no JSON (400)."""


class BadField(ValueError):
    """A member of the body, or a parameter, has a value that is refused (422); `field` is its path."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


def parse_json(raw: bytes) -> object:
    """The body as plain values. Raises NoJson."""
    if not raw:
        raise NoJson("the body is empty, expected a JSON object")
    try:
        value: object = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise NoJson(f"the body is no JSON: {exc}") from exc
    except RecursionError as exc:
        raise NoJson("the body is nested too deeply") from exc
    return value


def members(
    value: object, path: str, wanted: Collection[str], optional: Collection[str] = ()
) -> Mapping[str, object]:
    """`value` as an object that has every member of `wanted` and none beside `optional`. Raises BadField."""
    if not isinstance(value, dict):
        raise BadField(path, f"expected an object, got {_kind(value)}")
    for name in value:
        if name not in wanted and name not in optional:
            raise BadField(_join(path, name[:80]), f"unknown field; known: {', '.join([*wanted, *optional])}")
    for name in wanted:
        if name not in value:
            raise BadField(_join(path, name), "is missing")
    return value


def number(value: object, path: str) -> float:
    """A finite JSON number. Raises BadField."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadField(path, f"expected a number, got {_kind(value)}")
    try:
        found = float(value)
    except OverflowError as exc:
        raise BadField(path, "is too great a number") from exc
    if not math.isfinite(found):
        raise BadField(path, "is not finite")
    return found


def whole(value: object, path: str, least: int, greatest: int) -> int:
    """A whole number in least..greatest (3.0 counts: JSON does not distinguish it from 3). Raises BadField."""
    found = number(value, path)
    if not found.is_integer() or not least <= found <= greatest:
        raise BadField(path, f"expected a whole number from {least} to {greatest}")
    return int(found)


def position(value: object, path: str) -> LatLon:
    """WGS84 degrees on the globe. Raises BadField."""
    found = members(value, path, ("lat", "lon"))
    lat = number(found["lat"], _join(path, "lat"))
    lon = number(found["lon"], _join(path, "lon"))
    if not -90.0 <= lat <= 90.0:
        raise BadField(_join(path, "lat"), "is outside -90..90 degrees")
    if not -180.0 <= lon <= 180.0:
        raise BadField(_join(path, "lon"), "is outside -180..180 degrees")
    return LatLon(lat, lon)


def moment(value: object, path: str) -> str:
    """An RFC 3339 time with a zone, as our own stamp in UTC. Raises BadField."""
    if not isinstance(value, str):
        raise BadField(path, f"expected an RFC 3339 time as text, got {_kind(value)}")
    refusal = BadField(path, "is no RFC 3339 time with a zone, such as 2026-01-31T08:30:00Z")
    if _RFC3339.fullmatch(value) is None:
        raise refusal
    try:
        return stamp(unstamp(value.upper()))
    except (ValueError, OverflowError) as exc:
        raise refusal from exc


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names: dict[type, str] = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "text",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), type(value).__name__)
