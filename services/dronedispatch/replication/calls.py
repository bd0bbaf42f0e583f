"""The words between coordinator (or joiner) and replica: calls, their replies, and the bytes of a batch of them.

A driver sends `encode_calls([...])` as one request and gets `decode_replies(body)` back, one reply for each call,
in order. R1 to R9 are the replica rules of docs/protocol.md. Each call carries (cluster, epoch, disk, slot), fixed
when its members were computed: a batch may mix epochs. Where no reply came the driver puts `NOT_SENT` (the peer
certainly never saw it: connection refused) or `SILENT` (anything else) into the reply's place, and never sends an
`Apply` or `Lock` a second time. All structs are msgpack arrays whose first element is the tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from dronedispatch.kv.record import Record
from dronedispatch.kv.version import Version

MUST_BE_ABSENT = Version(0, 0)
"""As `expected`: only if the key holds nothing or a tombstone. Stored versions begin at epoch 1."""
MUST_EXIST = Version(0, 1)
"""As `expected`: only if the key holds a value."""
SCAN_BYTES = 8 * 1024**2
"""Of values in one page of a scan: 500 of 1 MiB each would fit no answer, and keep everybody else waiting."""
PAGE_BYTES = 4 * 1024**2
"""Of values that a joiner is sent at once; a larger one comes alone."""


class Call(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What every call says first: whom it believes to speak to (R1 to R3)."""

    cluster: str
    epoch: int
    disk: str
    slot: int


class Apply(Call, frozen=True, tag=1):
    """R4, to the primary only. `expected` None: unconditional. Replies Applied, Mismatch, or a Refusal."""

    key: str
    expected: Version | None
    value: bytes
    write_id: bytes
    wall_s: float
    tombstone: bool = False
    tags: tuple[str, ...] = ()
    fence: Version | None = None


class Lock(Call, frozen=True, tag=2):
    """R4 for a lock record, whose condition needs the primary's own clock. `token`: of renew and release. Replies
    as Apply.
    """

    key: str
    verb: Literal["acquire", "renew", "release"]
    owner: str
    token: Version | None
    ttl_ms: int
    write_id: bytes
    wall_s: float


class Replicate(Call, frozen=True, tag=3):
    """R5. Replies Stored. May be sent again."""

    key: str
    record: Record


class Read(Call, frozen=True, tag=4):
    """R6. Replies Found."""

    key: str


class Prepare(Call, frozen=True, tag=5):
    """R7: promise to refuse every epoch before `promise`. A joiner says `log` and `since` (its position here) and
    is told what changed in `slots`; a purge says no log, and asks for the tombstones of `keys`. Replies Promised.
    """

    promise: int
    slots: tuple[int, ...]
    log: str
    since: int
    limit: int
    keys: tuple[str, ...] = ()


class Purge(Call, frozen=True, tag=6):
    """R8. Replies Purged."""

    key: str
    version: Version


class Scan(Call, frozen=True, tag=7):
    """The keys of `slots` after `after` in key order (before it, if `reverse`). `full`: with records. `dead`:
    tombstones instead of values.

    Replies Scanned. `slot` is any of `slots`.
    """

    slots: tuple[int, ...]
    prefix: str | None
    tag: str | None
    after: str | None
    limit: int
    reverse: bool = False
    full: bool = False
    dead: bool = False


class Locate(Call, frozen=True, tag=8):
    """A joiner's first question: this replica's log position, and a digest of each of `slots`. Replies Located."""

    slots: tuple[int, ...]


class Compare(Call, frozen=True, tag=9):
    """A page of (key, version) of `slot` in key order. Replies Compared."""

    after: str | None
    limit: int


class Fetch(Call, frozen=True, tag=10):
    """The records of `keys`, all of `slot`, in their order and up to `bytes_max`, at least one; 0: all, as a joiner of the
    release before wants it. Replies Fetched.
    """

    keys: tuple[str, ...]
    bytes_max: int = 0


class Follow(Call, frozen=True, tag=11):
    """What changed in `slots` after position `since` of the log `log`, a page of it. Replies Changed."""

    slots: tuple[int, ...]
    log: str
    since: int
    limit: int


class Hint(Call, frozen=True, tag=12):
    """Keep `record` for the absent replica `target`. Replies Stored; nobody waits for it."""

    target: str
    key: str
    record: Record


class PullHints(Call, frozen=True, tag=13):
    """The hints kept for `target`, in key order. Replies Fetched."""

    target: str
    after: str | None
    limit: int


class DropHints(Call, frozen=True, tag=14):
    """`target` is in sync again: forget its hints. Replies Stored."""

    target: str


class Relay(Call, frozen=True, tag=15):
    """R5 for `record` of `key`, and then, in the same transaction, R4 for `then`, whose slot this replica leads.

    Replies Relayed. Anything else: `then` was not carried out, though `record` may have been stored.
    """

    key: str
    record: Record
    then: Apply


# --- replies ---


class Reply(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a replica answers, or what a driver puts in its place."""


class Applied(Reply, frozen=True, tag=1):
    """`record` is what the key holds here now."""

    record: Record


class Mismatch(Reply, frozen=True, tag=2):
    """The condition is false on `record` (None: absent); nothing was written."""

    record: Record | None
    reason: Literal["version", "fenced", "held"]


class Stored(Reply, frozen=True, tag=3):
    """Done, durably. `newer`: a later version was here already, and the one that came was left out."""

    newer: bool = False


class Found(Reply, frozen=True, tag=4):
    """The full record, tombstones included; None: absent."""

    record: Record | None


class Changed(Reply, frozen=True, tag=5):
    """The present records (None: gone) of the keys that changed; `lsn` continues. `trimmed`: the log no longer
    reaches back so far.
    """

    entries: tuple[tuple[str, Record | None], ...]
    lsn: int
    more: bool
    trimmed: bool


class Promised(Reply, frozen=True, tag=6):
    """The promise is durable. `changed` for a joiner; `versions` of the asked keys that hold a tombstone (None:
    another thing, or nothing).
    """

    changed: Changed
    versions: tuple[Version | None, ...]


class Purged(Reply, frozen=True, tag=7):
    """`done`: there was exactly that tombstone."""

    done: bool


class Scanned(Reply, frozen=True, tag=8):
    """In scan order. `more`: the limit, or SCAN_BYTES, cut it off, and the last key is how far it got."""

    entries: tuple[tuple[str, Version, Record | None], ...]
    more: bool


class Located(Reply, frozen=True, tag=9):
    """`digests` of the asked slots, in order: equal digests mean equal contents."""

    log: str
    lsn: int
    digests: tuple[bytes, ...]


class Compared(Reply, frozen=True, tag=10):
    """Keys and versions in key order."""

    entries: tuple[tuple[str, Version], ...]
    more: bool


class Fetched(Reply, frozen=True, tag=11):
    """Keys and records (None: gone). `more`: the limit, or the bytes, cut it off."""

    entries: tuple[tuple[str, Record | None], ...]
    more: bool


class WrongDisk(Reply, frozen=True, tag=12):
    """R1: another cluster or another disk; nothing done."""

    cluster: str
    disk: str


class StaleEpoch(Reply, frozen=True, tag=13):
    """R2: nothing done. `published`: the highest epoch that a view is known to have had."""

    floor: int
    published: int


class Joining(Reply, frozen=True, tag=14):
    """This replica is being filled for that slot; nothing done, ask again soon, nobody votes on it."""


class NoSpace(Reply, frozen=True, tag=15):
    """The disk is full; nothing done."""


class Damaged(Reply, frozen=True, tag=16):
    """The record's checksum is wrong; nothing done. JOIN replaces it."""


class NotSent(Reply, frozen=True, tag=17):
    """Put by the driver: the call certainly never reached the replica (connection refused)."""


class Silent(Reply, frozen=True, tag=18):
    """Put by the driver: no answer; the call may have been carried out, or may yet be."""


class TooOld(Reply, frozen=True, tag=19):
    """Put by the driver: the replica has not said that it knows this kind of call, so it was not sent."""


class Relayed(Reply, frozen=True, tag=20):
    """The record is stored, and `then` is what became of the apply behind it."""

    then: Applied | Mismatch


NOT_SENT = NotSent()
SILENT = Silent()
STORED = Stored()
STORED_NEWER = Stored(newer=True)
JOINING = Joining()
NO_SPACE = NoSpace()
DAMAGED = Damaged()
TOO_OLD = TooOld()

AnyCall = (
    Apply
    | Lock
    | Replicate
    | Read
    | Prepare
    | Purge
    | Scan
    | Locate
    | Compare
    | Fetch
    | Follow
    | Hint
    | PullHints
    | DropHints
    | Relay
)
AnyReply = (
    Applied
    | Mismatch
    | Stored
    | Found
    | Changed
    | Promised
    | Purged
    | Scanned
    | Located
    | Compared
    | Fetched
    | WrongDisk
    | StaleEpoch
    | Joining
    | NoSpace
    | Damaged
    | NotSent
    | Silent
    | TooOld
    | Relayed
)

_ENCODER = msgspec.msgpack.Encoder()
_CALLS = msgspec.msgpack.Decoder(list[AnyCall])
_REPLIES = msgspec.msgpack.Decoder(list[AnyReply])


def encode_calls(calls: Sequence[AnyCall]) -> bytes:
    """The body of one request."""
    return _ENCODER.encode(calls)


def decode_calls(body: bytes) -> list[AnyCall]:
    """Raises ValueError (msgspec's DecodeError is one) for anything that is no batch of calls."""
    return _CALLS.decode(body)


def encode_replies(replies: Sequence[AnyReply]) -> bytes:
    """The body of one response."""
    return _ENCODER.encode(replies)


def decode_replies(body: bytes) -> list[AnyReply]:
    """Raises ValueError (msgspec's DecodeError is one) for anything that is no batch of replies."""
    return _REPLIES.decode(body)
