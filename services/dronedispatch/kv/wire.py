"""The store's API between programs, in msgpack: what /kv/batch and /kv/pair carry (http/json_api.py has for people what
/kv/batch does). Pure.

Every outcome is one of three classes and says which: a result (definite success), Failed with another kind than "unknown"
(definite failure), Failed "unknown". An error of the store travels as a value and comes out as the same exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from dronedispatch.kv.client import Cas, Delete, Get, Item, Op, OpResult, Pair, PairResult, Put
from dronedispatch.kv.errors import (
    Fenced,
    KVError,
    LockHeld,
    OutcomeUnknown,
    Refused,
    Unauthorized,
    Unavailable,
    VersionConflict,
)
from dronedispatch.kv.version import Version

MSGPACK = "application/msgpack"
BATCH_OPS_MAX = 1_000
LOCK_PREFIX = "lock/"
LOCK_TTL_MS_MAX = 3_600_000

FailureKind = Literal["conflict", "fenced", "lock_held", "refused", "unavailable", "unknown", "unauthorized"]


class FoundItem(msgspec.Struct, frozen=True, tag="found"):
    """A Get that found the key."""

    item: Item


class WrittenVersion(msgspec.Struct, frozen=True, tag="written"):
    """A Put or Cas that is stored on every in-sync replica."""

    version: Version


class Nothing(msgspec.Struct, frozen=True, tag="nothing"):
    """A Get of an absent key, or a Delete that is done."""


class Failed(msgspec.Struct, frozen=True, tag="failed", omit_defaults=True):
    """Any KVError."""

    kind: FailureKind
    detail: str
    key: str = ""
    current: Item | None = None
    highest: Version | None = None
    owner: str | None = None
    status: int = 0
    retry_after_s: float = 1.0


Outcome = FoundItem | WrittenVersion | Nothing | Failed
WriteOutcome = WrittenVersion | Failed

encode = msgspec.msgpack.Encoder().encode
decode_ops = msgspec.msgpack.Decoder(list[Op]).decode
decode_outcomes = msgspec.msgpack.Decoder(list[Outcome]).decode
decode_pairs = msgspec.msgpack.Decoder(list[Pair]).decode
_decode_pair_outcomes = msgspec.msgpack.Decoder(list[tuple[WriteOutcome, WriteOutcome]]).decode

_NOTHING = Nothing()


def failed(error: KVError) -> Failed:
    """`error` as a value."""
    detail = str(error)
    match error:
        case VersionConflict():
            return Failed("conflict", detail, key=error.key, current=error.current)
        case Fenced():
            return Failed("fenced", detail, key=error.key, highest=error.highest)
        case LockHeld():
            return Failed("lock_held", detail, key=error.name, owner=error.owner)
        case Refused():
            return Failed("refused", error.detail, status=error.status)
        case Unavailable():
            return Failed("unavailable", detail, retry_after_s=error.retry_after_s, status=error.status)
        case Unauthorized():
            return Failed("unauthorized", detail)
        case _:  # what is not known to be definite is unknown
            return Failed("unknown", detail)


def error_of(value: Failed) -> KVError:
    """The exception that became `value`."""
    match value.kind:
        case "conflict":
            return VersionConflict(value.key, value.current)
        case "fenced":
            return Fenced(value.key, value.highest)
        case "lock_held":
            return LockHeld(value.key, value.owner)
        case "refused":
            return Refused(value.status or 400, value.detail)
        case "unavailable":
            return Unavailable(value.detail, value.retry_after_s, status=value.status or 503)
        case "unauthorized":
            return Unauthorized(value.detail)
        case _:
            return OutcomeUnknown(value.detail)


def outcome_of(result: OpResult) -> Outcome:
    """A result of KVClient.batch as a wire value."""
    if result is None:
        return _NOTHING
    if isinstance(result, Item):
        return FoundItem(result)
    if isinstance(result, KVError):
        return failed(result)
    return WrittenVersion(result)


def result_of(outcome: Outcome) -> OpResult:
    """The inverse of outcome_of."""
    match outcome:
        case FoundItem():
            return outcome.item
        case WrittenVersion():
            return outcome.version
        case Failed():
            return error_of(outcome)
        case _:
            return None


def encode_results(results: Sequence[OpResult]) -> bytes:
    """The answer to a batch."""
    return encode([outcome_of(result) for result in results])


def decode_results(body: bytes) -> list[OpResult]:
    """The inverse. Raises msgspec.MsgspecError."""
    return [result_of(outcome) for outcome in decode_outcomes(body)]


def encode_pair_results(results: Sequence[PairResult]) -> bytes:
    """The answer to pairs of writes."""
    return encode([(outcome_of(first), outcome_of(second)) for first, second in results])


def decode_pair_results(body: bytes) -> list[PairResult]:
    """The inverse. Raises msgspec.MsgspecError."""
    return [(_written(first), _written(second)) for first, second in _decode_pair_outcomes(body)]


def _written(outcome: WriteOutcome) -> Version | KVError:
    return outcome.version if isinstance(outcome, WrittenVersion) else error_of(outcome)


def is_read(op: Op) -> bool:
    """Whether repeating `op` can change nothing."""
    return isinstance(op, Get)


def op_bytes(op: Op) -> int:
    """About how large `op` is in a batch, for bounding its body."""
    match op:
        case Put() | Cas():
            return len(op.key) + len(op.value) + 160
        case Get() | Delete():
            return len(op.key) + 60
