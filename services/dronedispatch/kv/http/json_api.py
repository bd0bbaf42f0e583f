"""The store's API for people: JSON bodies, values as text where they are UTF-8 and as base64 where not. Pure."""

from __future__ import annotations

import base64
import binascii
import uuid
from typing import Any, Literal, TypeVar

import msgspec

from dronedispatch.kv import wire
from dronedispatch.kv.client import Cas, Delete, Get, Item, Op, OpResult, Put
from dronedispatch.kv.errors import (
    Fenced,
    KVError,
    LockHeld,
    OutcomeUnknown,
    Refused,
    Unavailable,
    VersionConflict,
)
from dronedispatch.kv.record import why_no_tags
from dronedispatch.kv.validation import check_key
from dronedispatch.kv.version import Version, parse_version

T = TypeVar("T")
OWNER_BYTES_MAX = 200

_WRITE_IDS = uuid.UUID("0e6b9a5c-6d0f-4c6e-9a0b-6d5f2f0a7c11")


def decode(body: bytes | None, kind: type[T]) -> T:
    """The request in `body`. Raises Refused 400, which names the field."""
    try:
        return msgspec.json.decode(body or b"", type=kind)
    except msgspec.MsgspecError as error:
        raise Refused(400, str(error)) from error
    except RecursionError as error:
        raise Refused(400, "the document is nested too deeply") from error


def write_id_of(text: str) -> bytes:
    """16 bytes for an Idempotency-Key: a UUID as it is, any other text (up to 200 characters) by its UUID5."""
    if not 1 <= len(text) <= 200:
        raise Refused(400, f"an idempotency key has 1 to 200 characters, not {len(text)}")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # a header's byte that is no UTF-8 is half a surrogate pair
        raise Refused(400, f"the idempotency key is no Unicode text: {error.reason}") from error
    try:
        return uuid.UUID(text).bytes
    except ValueError:
        return uuid.uuid5(_WRITE_IDS, text).bytes


def version_of(text: str | None, field: str) -> Version | None:
    """The version in `text`; None: absent. Raises Refused 400 naming `field`."""
    if text is None:
        return None
    try:
        return parse_version(text)
    except ValueError as error:
        raise Refused(400, f"{field}: {error}") from error


def value_fields(value: bytes) -> dict[str, str]:
    """{"value": text}, or {"value_base64": ...} for what is not UTF-8."""
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(value).decode()}


def check_tag(tag: str) -> None:
    """Raises Refused 400 for a malformed tag."""
    if (reason := why_no_tags((tag,))) is not None:
        raise Refused(400, reason)


class _Valued(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    value: str | None = None
    value_base64: str | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    fence: str | None = None
    idempotency_key: str | None = None

    def octets(self) -> bytes:
        """The value, from whichever of the two fields holds it."""
        if (self.value is None) == (self.value_base64 is None):
            raise Refused(400, "give exactly one of value and value_base64")
        if self.value is not None:
            return self.value.encode()
        try:
            return base64.b64decode(self.value_base64 or "", validate=True)
        except binascii.Error as error:
            raise Refused(400, f"value_base64: {error}") from error

    def fence_version(self) -> Version | None:
        return version_of(self.fence, "fence")

    def write_id(self) -> bytes | None:
        return None if self.idempotency_key is None else write_id_of(self.idempotency_key)


class CasRequest(_Valued, forbid_unknown_fields=True, kw_only=True):
    """POST /kv/cas: `expected` is a version ("0": absent); or `old` is the old value (null: absent)."""

    key: str
    expected: str | None = None
    old: str | msgspec.UnsetType | None = msgspec.UNSET

    def given(self) -> frozenset[str]:
        """Which of expected and old was given; exactly one must be."""
        found = {"expected"} if self.expected is not None else set()
        if self.old is not msgspec.UNSET:
            found.add("old")
        if len(found) != 1:
            raise Refused(
                400, "give exactly one of expected (a version, '0': absent) and old (a value, null: absent)"
            )
        return frozenset(found)


class BatchOp(_Valued, forbid_unknown_fields=True, kw_only=True):
    """One operation of POST /kv/batch."""

    op: Literal["get", "put", "cas", "delete"]
    key: str
    expected: str | None = None

    def operation(self) -> Op:
        """The operation meant. Raises Refused for a malformed one."""
        if self.op == "get":
            return Get(self.key)
        if self.op == "delete":
            return Delete(self.key, version_of(self.expected, "expected"), self.fence_version())
        if self.op == "put":
            return Put(self.key, self.octets(), tuple(self.tags), self.fence_version(), self.write_id())
        if self.expected is None:
            raise Refused(400, "cas wants expected: a version, or '0' for absent")
        expected = version_of(self.expected, "expected")
        return Cas(self.key, expected, self.octets(), tuple(self.tags), self.fence_version(), self.write_id())


class BatchRequest(msgspec.Struct, forbid_unknown_fields=True):
    """POST /kv/batch."""

    ops: list[BatchOp]

    def operations(self) -> list[Op]:
        """All of them; a malformed one refuses the batch, and nothing of it happens."""
        operations = []
        for index, op in enumerate(self.ops):
            try:
                operations.append(op.operation())
            except Refused as error:
                raise Refused(error.status, f"ops[{index}]: {error.detail}") from error
        return operations


class LockRequest(msgspec.Struct, forbid_unknown_fields=True):
    """POST /lock/acquire {name, owner, ttl_ms}, /lock/renew and /lock/release with the token as well."""

    name: str
    owner: str
    ttl_ms: int | None = None
    token: str = "0"

    def check(self, *, leases: bool) -> None:
        """Raises Refused. `leases`: it asks for a lease, which has a length: one of no length protects nothing."""
        check_key(wire.LOCK_PREFIX + self.name)
        if not self.name:
            raise Refused(400, "the lock's name is empty")
        if not 1 <= len(self.owner.encode()) <= OWNER_BYTES_MAX:
            raise Refused(400, f"an owner has 1 to {OWNER_BYTES_MAX} bytes")
        if self.ttl_ms is None and not leases:
            return
        if self.ttl_ms is None or not 1 <= self.ttl_ms <= wire.LOCK_TTL_MS_MAX:
            given = "is missing" if self.ttl_ms is None else f"is {self.ttl_ms}"
            raise Refused(
                400, f"ttl_ms {given}: a lease is held for 1 to {wire.LOCK_TTL_MS_MAX} milliseconds"
            )


def item(found: Item) -> dict[str, Any]:
    """One item of a scan."""
    return {
        "key": found.key,
        "version": str(found.version),
        "tags": list(found.tags),
        **value_fields(found.value),
    }


def result(op: Op, found: OpResult) -> dict[str, Any]:
    """One result of a batch: the status that the operation alone would have had, and its members."""
    document: dict[str, Any] = {"key": op.key}
    match found:
        case None:
            return document | {"status": 404 if isinstance(op, Get) else 204}
        case Item():
            return {"status": 200} | item(found)
        case VersionConflict():
            current = {} if found.current is None else item(found.current)
            return {"status": 409, "reason": "cas_mismatch", "version": "0"} | document | current
        case Fenced():
            return document | {"status": 409, "reason": "fenced", "highest": str(found.highest)}
        case LockHeld():
            return document | {"status": 409, "reason": "lock_held", "owner": found.owner}
        case Refused():
            return document | {"status": found.status, "detail": found.detail}
        case Unavailable():
            return document | {"status": found.status, "detail": str(found)}
        case OutcomeUnknown():
            return document | {"status": 504, "outcome": "unknown", "detail": str(found)}
        case KVError():
            return document | {"status": 503, "detail": str(found)}
        case _:
            return document | {"status": 200, "version": str(found)}
