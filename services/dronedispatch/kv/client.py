"""The store as its clients see it: a port with a real twin (kv/http_client.py) and a memory twin (testing/kv.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypedDict, Unpack

import msgspec

from dronedispatch.kv.errors import KVError
from dronedispatch.kv.version import Version


class Item(msgspec.Struct, frozen=True, gc=False):
    """A stored value as a reader gets it; act on it only by a CAS on `version`."""

    key: str
    version: Version
    value: bytes
    tags: tuple[str, ...] = ()


class Page(msgspec.Struct, frozen=True):
    """A piece of a scan in key order; `next_after` continues it (None: this was the last)."""

    items: tuple[Item, ...]
    next_after: str | None


class Lease(msgspec.Struct, frozen=True):
    """A held lock. `token` is the fencing token, strictly increasing for each name for ever.

    `sent_monotonic_s`: when the acquire (or renew) was SENT; the holder counts `ttl_ms` from there.
    """

    name: str
    owner: str
    token: Version
    ttl_ms: int
    sent_monotonic_s: float


class Get(msgspec.Struct, frozen=True, tag="get"):
    """Result: Item, or None when absent."""

    key: str


class Put(msgspec.Struct, frozen=True, tag="put"):
    """Result: the new Version."""

    key: str
    value: bytes
    tags: tuple[str, ...] = ()
    fence: Version | None = None
    write_id: bytes | None = None


class Cas(msgspec.Struct, frozen=True, tag="cas"):
    """Write if the stored version is `expected` (None: absent). Result: the new Version."""

    key: str
    expected: Version | None
    value: bytes
    tags: tuple[str, ...] = ()
    fence: Version | None = None
    write_id: bytes | None = None


class Delete(msgspec.Struct, frozen=True, tag="delete"):
    """Delete, if `expected` is given only that version. Result: None (an absent key is deleted already)."""

    key: str
    expected: Version | None = None
    fence: Version | None = None


Op = Get | Put | Cas | Delete
OpResult = Item | Version | None | KVError


class Pair(msgspec.Struct, frozen=True):
    """Two writes, of which the second is begun only when the first is stored."""

    first: Put | Cas
    second: Put | Cas


PairResult = tuple[Version | KVError, Version | KVError]
"""Of the first write and of the second. Where the first is not stored, the second certainly is not; where nothing is known
of the first, the second may be stored, too, but only behind it.
"""


class WriteOptions(TypedDict, total=False):
    """What a put and a cas may say besides the value; each has its default in Put and Cas."""

    tags: tuple[str, ...]
    fence: Version | None
    write_id: bytes | None


class KVClient(Protocol):
    """Linearizable single-key operations, scans that are none, and locks with fencing tokens.

    Every method takes at most the client's own deadline. Raises VersionConflict, Fenced, LockHeld, Refused,
    Unauthorized, Unavailable (all definite: not applied) or OutcomeUnknown.
    """

    async def get(self, key: str) -> Item | None:
        """The newest value; None: absent."""

    async def put(self, key: str, value: bytes, **options: Unpack[WriteOptions]) -> Version:
        """Store unconditionally; return the new version."""

    async def cas(
        self, key: str, expected: Version | None, value: bytes, **options: Unpack[WriteOptions]
    ) -> Version:
        """Store if the version is `expected` (None: absent), else VersionConflict; return the new version.

        The same `write_id` again finds its own earlier write and succeeds.
        """

    async def delete(self, key: str, expected: Version | None = None) -> None:
        """Delete, if `expected` is given only that version."""

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        """Independent single-key operations; one result for each, in order, an error as a value and not raised."""

    async def pair(self, first: Put | Cas, second: Put | Cas) -> PairResult:
        """`first`, and then `second` if `first` is stored: a result for each, an error as a value. No transaction: what
        the first has written stays if the second fails.
        """

    async def scan(
        self,
        *,
        prefix: str | None = None,
        tag: str | None = None,
        after: str | None = None,
        limit: int = 500,
        reverse: bool = False,
    ) -> Page:
        """Keys with `prefix` and/or `tag` after `after`, in key order. No snapshot: each item has its own version."""

    async def acquire(self, name: str, owner: str, ttl_ms: int) -> Lease:
        """Take the lock `name`; LockHeld when another owner's lease is valid. The same owner gets a new token."""

    async def renew(self, lease: Lease) -> Lease:
        """Prolong; LockHeld when the lease has passed to another."""

    async def release(self, lease: Lease) -> None:
        """Give back; a lease that has passed to another is no error."""
