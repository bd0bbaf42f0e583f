"""The four databases of a replica's disk, how their keys are laid out, and what its transactions share in memory.

`meta` {name -> bytes}, `data` {slot byte + key -> record}, `tags` {tag + NUL + key -> nothing}, `hints` {target + NUL +
key -> record}. The slot leads the data key because a JOIN compares slot by slot; scans by prefix merge the slots lazily
instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import lmdb

from dronedispatch.kv.version import Version
from dronedispatch.kvstore.core.cache import AnswerCache
from dronedispatch.kvstore.core.change_log import ChangeLog
from dronedispatch.kvstore.core.state import State

META, DATA, TAGS, HINTS = range(4)
"""The places in Tables.numbered, and the numbers in the journal: never another meaning for one of them."""


def data_key(slot: int, key: str) -> bytes:
    """Where the record of `key` is."""
    return bytes((slot,)) + key.encode()


def tag_key(tag: str, key: str) -> bytes:
    """The index entry that says: `key` has `tag`."""
    return tag.encode() + b"\x00" + key.encode()


def hint_key(target: str, key: str) -> bytes:
    """Where the record of `key` waits for the replica `target`."""
    return target.encode() + b"\x00" + key.encode()


class Tables:
    """The open databases of one disk, by name and by number."""

    __slots__ = ("data", "hints", "numbered", "tags")

    def __init__(self, env: lmdb.Environment, meta: lmdb._Database) -> None:
        self.data = env.open_db(b"data")
        self.tags = env.open_db(b"tags")
        self.hints = env.open_db(b"hints")
        self.numbered = (meta, self.data, self.tags, self.hints)

    def tags_by_index(self, txn: lmdb.Transaction[bytes], key: str) -> tuple[str, ...]:
        """The tags under which the index knows `key`: a walk over the whole index, for a damaged record only."""
        tail = tag_key("", key)
        with txn.cursor(db=self.tags) as cursor:
            return tuple(
                entry.removesuffix(tail).decode()
                for entry in cursor.iternext(keys=True, values=False)
                if entry.endswith(tail)
            )


@dataclass(slots=True)
class Shared:
    """What every transaction on one disk reads, and the engine alone changes when one has been published.

    `held`: lock key -> (version, since when on the monotonic clock). A transaction notes in
    `changes` itself: see there. `threaded`: write transactions run beside the loop, to which the cache belongs.
    """

    disk: str
    cache: AnswerCache
    changes: ChangeLog
    hint_bytes_max: int
    threaded: bool = False
    state: State = field(default_factory=State)
    held: dict[str, tuple[Version, float]] = field(default_factory=dict)
    hint_bytes: int = 0
    hints_dropped: int = 0
