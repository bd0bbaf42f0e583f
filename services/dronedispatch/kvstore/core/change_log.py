"""Which keys changed since when, for a replica that catches up (JOIN 3).

In memory on purpose: a position is only ever used within one JOIN, and a restarted member makes the joiner compare again
anyway, so a log on disk would cost every write two more B-tree updates and save nothing. `name` names this run of the log.
"""

from __future__ import annotations

from collections.abc import Callable

from dronedispatch.kvstore.core.txn import ChangedKeys


class ChangeLog:
    """The last change of each of the most recently changed keys, at most `keys_max` of them.

    A key that was noted for a transaction which then failed stays noted: the reader looks at the record, not at the note.
    """

    def __init__(self, name: str, keys_max: int) -> None:
        self.name = name
        self.keys_max = keys_max
        self.lsn = 0
        self._trimmed_to = 0
        self._last: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._last)

    def note(self, key: str) -> None:
        """`key` changes now."""
        last = self._last
        self.lsn += 1
        if key in last:
            del last[key]
        elif len(last) >= self.keys_max:
            oldest = next(iter(last))
            self._trimmed_to = last.pop(oldest)
        last[key] = self.lsn

    def since(self, lsn: int, limit: int, wanted: Callable[[str], bool]) -> ChangedKeys | None:
        """The first `limit` of the `wanted` keys that changed after position `lsn`; None if that is trimmed away."""
        if lsn < self._trimmed_to:
            return None
        newer: list[tuple[str, int]] = []
        for key, at in reversed(self._last.items()):
            if at <= lsn:
                break
            if wanted(key):
                newer.append((key, at))
        newer.reverse()
        page = newer[:limit]
        more = len(newer) > limit
        return ChangedKeys(tuple(key for key, _ in page), page[-1][1] if more else self.lsn, more)
