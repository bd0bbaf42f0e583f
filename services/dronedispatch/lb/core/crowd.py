"""Who is connected, and who must go when the door is full. Pure.

A connection that has sent no complete request costs its owner nothing: so those go first, and of those first the ones
of whoever holds most connections. Otherwise one address with ten thousand silent connections keeps everybody out.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Member = TypeVar("Member", bound=Hashable)


class Crowd(Generic[Member]):
    """Connections by address and by what they have sent. Every call but `who_must_go` takes constant time.

    `who_must_go` looks at each address once: it is asked when the door is full, at most once for a new connection.
    """

    __slots__ = ("_by_address", "_idle", "_silent")

    def __init__(self) -> None:
        self._by_address: dict[str, int] = {}
        # By address, each in the order of its last news; an entry leaves with its last member.
        self._silent: dict[str, dict[Member, None]] = {}
        self._idle: dict[Member, str] = {}

    def came(self, member: Member, address: str) -> None:
        """It is connected and has sent nothing yet."""
        self._by_address[address] = self._by_address.get(address, 0) + 1
        self._silent.setdefault(address, {})[member] = None

    def busy(self, member: Member, address: str) -> None:
        """It sent a complete head: from now on it has a request under way."""
        if self._idle.pop(member, None) is None:
            self._leave_silent(member, address)

    def rests(self, member: Member, address: str) -> None:
        """Its request is answered, and it has sent no other yet."""
        self._idle[member] = address

    def left(self, member: Member, address: str) -> None:
        """It is gone."""
        count = self._by_address.get(address, 0) - 1
        if count > 0:
            self._by_address[address] = count
        else:
            self._by_address.pop(address, None)
        self._idle.pop(member, None)
        self._leave_silent(member, address)

    def who_must_go(self, newcomer: Member) -> Member | None:
        """Whom to close for `newcomer`: the longest silent one of the address that has most connections, else the
        connection that has rested longest; None when everybody has a request under way.
        """
        others = (one for one, silent in self._silent.items() if len(silent) > (newcomer in silent))
        address = max(others, key=lambda one: self._by_address.get(one, 0), default=None)
        waiting = self._idle if address is None else self._silent[address]
        return next((member for member in waiting if member != newcomer), None)

    def _leave_silent(self, member: Member, address: str) -> None:
        silent = self._silent.get(address)
        if silent is not None:
            silent.pop(member, None)
            if not silent:
                del self._silent[address]
