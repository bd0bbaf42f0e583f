"""Documents as bytes: JSON of the records, and the keys that they live under."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol, TypeVar

import msgspec

T = TypeVar("T")


class Named(Protocol):
    """A record that says who it is."""

    @property
    def id(self) -> str: ...


N = TypeVar("N", bound=Named)

ZONES_KEY = "zones"
DISPATCH_STATE_KEY = "dispatch_state"
DELIVERY_PREFIX = "delivery:"
DRONE_PREFIX = "drone:"
TELEMETRY_PREFIX = "telemetry:"
DESIRED_STATE_PREFIX = "wish/drone/"
IDEM_PREFIX = "idem/"

_encoder = msgspec.json.Encoder()


class Unreadable(Exception):
    """The bytes are no such document; the message names the field."""


def encode(document: object) -> bytes:
    """JSON, UTF-8."""
    return _encoder.encode(document)


_decoder: Callable[[Any], msgspec.json.Decoder[Any]] = cache(msgspec.json.Decoder)


def decode(kind: type[T], body: bytes | msgspec.Raw) -> T:
    """Raises Unreadable with the field's path: a record that cannot be read is reported, never overwritten."""
    try:
        found: T = _decoder(kind).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise Unreadable(f"{kind.__name__}: {exc}") from exc
    except RecursionError as exc:
        raise Unreadable(f"{kind.__name__}: is nested too deeply") from exc
    return found


def decode_named(kind: type[N], body: bytes, name: str) -> N:
    """The record that lives under the key of `name`. Raises Unreadable, for one that is another's too."""
    record = decode(kind, body)
    if record.id != name:
        raise Unreadable(f"{kind.__name__}: its id is {record.id[:40]!r}, and not that of its key")
    return record


def delivery_key(delivery_id: str) -> str:
    return DELIVERY_PREFIX + delivery_id


def drone_key(drone_id: str) -> str:
    return DRONE_PREFIX + drone_id


def telemetry_key(drone_id: str) -> str:
    return TELEMETRY_PREFIX + drone_id


def desired_state_key(drone_id: str) -> str:
    return DESIRED_STATE_PREFIX + drone_id


def idem_key(idempotency_key: str) -> str:
    return IDEM_PREFIX + hashlib.sha256(idempotency_key.encode()).hexdigest()


def stamp(wall_s: float) -> str:
    """UTC epoch seconds -> RFC 3339 with milliseconds, such as 2026-11-24T05:44:53.120Z."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unstamp(text: str) -> float:
    """RFC 3339 -> UTC epoch seconds. Raises ValueError; a time without a zone is refused."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.timestamp()
