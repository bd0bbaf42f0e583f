"""Which keys changed since when, for a replica that catches up (JOIN 3).

In memory on purpose: a position is only ever used within one JOIN, and a restarted member makes the joiner compare again
anyway, so a log on disk would cost every write two more B-tree updates and save nothing. `log_id` names this run of the log.
"""

from __future__ import annotations

import uuid


class Trimmed(Exception):
    """The log no longer reaches back to the position asked for: compare everything again."""


class ChangeLog:
    """The last change of each of the most recently changed keys, at most `keys_max` of them.

    A key that was noted for a transaction which then failed stays noted: the reader looks at the record, not at the note.
    """

    def __init__(self, keys_max: int) -> None:
        self.log_id = uuid.uuid4().hex
        self.keys_max = keys_max
        self.lsn = 0
        self._floor = 0
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
            self._floor = last.pop(oldest)
        last[key] = self.lsn

    def since(self, lsn: int) -> list[str]:
        """Every key whose last change is after position `lsn`, newest first. Raises Trimmed."""
        if lsn < self._floor:
            raise Trimmed(f"position {lsn} is before {self._floor}, the oldest still known")
        newer = []
        for key, at in reversed(self._last.items()):
            if at <= lsn:
                break
            newer.append(key)
        return newer
