"""What a caller of the store may do next, as types: never mix *definite* (did not and will not happen) and *unknown*."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dronedispatch.kv.client import Item
    from dronedispatch.kv.version import Version


class KVError(Exception):
    """Any answer of the store that is no success."""


class Definite(KVError):
    """The operation did not and will not happen."""


class VersionConflict(Definite):
    """The stored version is not the expected one; `current` is what is stored (None: absent)."""

    def __init__(self, key: str, current: Item | None) -> None:
        super().__init__(f"{key}: stored version is {current.version if current else 'absent'}")
        self.key = key
        self.current = current


class Fenced(Definite):
    """A write carried a fencing token lower than the highest one seen by the key: its lock has passed to another."""

    def __init__(self, key: str, highest: Version | None = None) -> None:
        super().__init__(f"{key}: fenced by {highest}")
        self.key = key
        self.highest = highest


class LockHeld(Definite):
    """The lock belongs to another owner (or the lease that was shown is no longer the valid one)."""

    def __init__(self, name: str, owner: str | None = None) -> None:
        super().__init__(f"lock {name} is held by {owner}")
        self.name = name
        self.owner = owner


class Refused(Definite):
    """The request itself is wrong (400, 413, 414): sending it again changes nothing."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


class Unauthorized(Definite):
    """The bearer token is missing or wrong (401)."""


class Unavailable(Definite):
    """Not applied (503 or 507, or no coordinator could be reached): try again after `retry_after_s`."""

    def __init__(self, detail: str, retry_after_s: float = 1.0, *, status: int = 503) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
        self.status = status


class OutcomeUnknown(KVError):
    """The write may or may not have happened (504 with X-Outcome: unknown): find out by reading."""
