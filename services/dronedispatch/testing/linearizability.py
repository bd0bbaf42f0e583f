"""Was every answer possible? A checker for one key's history: Wing and Gong's search with Lowe's memo.

J. Wing, C. Gong, "Testing and verifying concurrent objects", 1993; G. Lowe, "Testing for linearizability", 2017
(the memo of configurations). The simulation and the tests on real processes both write `Observation`s and ask
`why_not`.

The specification is the store's own: a write names itself (`ident`; a keyed retry repeats the name), a definite
conflict counts as a read of the record that it carries, an unknown outcome stays open for ever (it may take effect
at any later moment, or never), and an operation that was definitely not applied is no part of the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from dronedispatch.kv.version import Version
from dronedispatch.replication.calls import MUST_BE_ABSENT, MUST_EXIST


class Seen(msgspec.Struct, frozen=True, gc=False):
    """A live record in an answer: the name of the write that made it, and its version."""

    ident: str
    version: Version


class Observation(msgspec.Struct, frozen=True, gc=False):
    """One operation on one key, as its client saw it. Times in seconds of one clock.

    get: `seen` (None: absent). put, delete (and their conditional forms by `expected`, see kv.calls): done with
    the new `version`; conflict with `seen` and `reason`. acquire, renew, release: the same, with `owner`, `token`
    (of renew and release) and `ttl_s`. An unknown outcome has no `return_s`.
    """

    key: str
    client: str
    kind: Literal["get", "put", "delete", "acquire", "renew", "release"]
    call_s: float
    return_s: float | None
    outcome: Literal["done", "conflict", "unknown"]
    ident: str = ""
    expected: Version | None = None
    fence: Version | None = None
    version: Version | None = None
    seen: Seen | None = None
    reason: Literal["", "version", "fenced", "held"] = ""
    owner: str = ""
    token: Version | None = None
    ttl_s: float = 0.0


_Raw = tuple[str | None, Version | None, Version | None, Version]
"""What a key holds: (name of its write, None: absent; version, None: not known; the highest fence seen, or a
lock's token; the highest version so far: versions only rise).
"""
_EMPTY: _Raw = (None, None, None, MUST_BE_ABSENT)
Idents = dict[Version, str]


def why_not(observations: Iterable[Observation], *, configurations_max: int = 200_000) -> str | None:
    """None if the history of each key is linearizable; else the reason, with the key's history. Raises Undecided.

    Linearizability is local (Herlihy and Wing 1990): each key is checked by itself.
    """
    by_key: dict[str, list[Observation]] = {}
    for each in observations:
        by_key.setdefault(each.key, []).append(each)
    for key, history in by_key.items():
        if not linearizable(history, configurations_max=configurations_max):
            return f"the history of {key} is not linearizable:\n" + "\n".join(map(told, _sorted(history)))
    return None


class Undecided(Exception):
    """The search met more configurations than allowed: make the history shorter, or the bound higher."""


def linearizable(history: Sequence[Observation], *, configurations_max: int = 200_000) -> bool:
    """Whether one key's history can be put into an order that respects real time and the specification. Raises
    Undecided.
    """
    return _Search(_sorted(history), configurations_max).succeeds()


def _sorted(history: Iterable[Observation]) -> list[Observation]:
    return sorted(history, key=lambda each: each.call_s)


class _Timeline:
    """Calls and returns in time order, calls first, as a doubly linked list from which what is taken is lifted out."""

    def __init__(self, history: Sequence[Observation]) -> None:
        events: list[tuple[float, int, int]] = []
        for index, each in enumerate(history):
            events.append((each.call_s, 0, index))
            if each.return_s is not None and each.outcome != "unknown":
                events.append((each.return_s, 1, index))
        events.sort()
        size = len(events)
        self.index_of = [index for _, _, index in events]
        self.is_return = [kind == 1 for _, kind, _ in events]
        self.call_of = {index: place for place, (_, kind, index) in enumerate(events) if kind == 0}
        self.return_of = {index: place for place, (_, kind, index) in enumerate(events) if kind == 1}
        self.head = size
        self.following = [*range(1, size + 1), 0]
        self.previous = [size, *range(size)]
        if not size:
            self.following, self.previous = [0], [0]

    def next(self) -> list[int]:
        """What may take effect now: all that was called before the first return, definite operations first.

        An unknown outcome is the last thing to try: most of them explain nothing.
        """
        sure: list[int] = []
        unsure: list[int] = []
        place = self.following[self.head]
        while place != self.head and not self.is_return[place]:
            index = self.index_of[place]
            (sure if index in self.return_of else unsure).append(index)
            place = self.following[place]
        return sure + unsure

    def take(self, index: int) -> None:
        """Operation `index` has taken effect."""
        _lift(self.call_of[index], self.following, self.previous)
        if index in self.return_of:
            _lift(self.return_of[index], self.following, self.previous)

    def put_back(self, index: int) -> None:
        """The last one taken has not, after all."""
        if index in self.return_of:
            _unlift(self.return_of[index], self.following, self.previous)
        _unlift(self.call_of[index], self.following, self.previous)


class _Search:
    """Depth first over what may take effect next; a configuration (what is taken, state) is met once (Lowe)."""

    def __init__(self, history: list[Observation], configurations_max: int) -> None:
        self._history = history
        self._configurations_max = configurations_max
        self._timeline = _Timeline(history)
        self._definite = len(self._timeline.return_of)
        self._idents: Idents = {}
        for each in history:
            if each.seen is not None:
                self._idents[each.seen.version] = each.seen.ident
            if each.version is not None and each.kind not in ("delete", "release"):
                self._idents[each.version] = each.ident
        self._due = sorted(
            (due, index) for index, each in enumerate(history) if (due := _due(each)) is not None
        )
        told = {each.seen.ident for each in history if each.seen is not None}
        told.update(each.ident for each in history if each.outcome == "done")
        self._unseen = {
            index
            for index, each in enumerate(history)
            if each.outcome == "unknown"
            and each.kind == "put"
            and each.fence is None
            and each.ident not in told
        }

    def succeeds(self) -> bool:
        """Whether all definite operations can be taken."""
        if not self._definite:
            return True
        timeline = self._timeline
        seen: set[tuple[int, _Raw]] = set()
        state, taken, first_due, left = _EMPTY, 0, 0, self._definite
        path: list[tuple[int, _Raw, int]] = []
        choices = [iter(timeline.next())]
        while choices:
            index = next(choices[-1], None)
            if index is None:
                choices.pop()
                if path:
                    index, state, first_due = path.pop()
                    taken &= ~(1 << index)
                    timeline.put_back(index)
                    left += index in timeline.return_of
                continue
            after = self._after(state, index)
            reached = taken | 1 << index
            if after is None or (reached, after) in seen:
                continue
            next_due = self._next_due(reached, first_due)
            if next_due < len(self._due) and self._due[next_due][0] < after[3]:
                continue  # somebody was told of an earlier version, and has yet to be told
            seen.add((reached, after))
            if len(seen) > self._configurations_max:
                raise Undecided(f"more than {self._configurations_max} configurations")
            path.append((index, state, first_due))
            state, taken, first_due = after, reached, next_due
            timeline.take(index)
            left -= index in timeline.return_of
            if not left:
                return True
            choices.append(iter(timeline.next()))
        return False

    def _after(self, state: _Raw, index: int) -> _Raw | None:
        """The state after operation `index`; None: impossible, or an unknown outcome of which nothing can come."""
        op = self._history[index]
        if index in self._unseen and state[0] is not None:
            return None  # in the place of another value it explains nothing: nobody saw it
        after = step(state, op, self._idents)
        if after is None or op.outcome != "unknown":
            return after
        useless = after[0] is None and state[0] is None and after[2] == state[2]
        return None if useless else after

    def _next_due(self, taken: int, first: int) -> int:
        while first < len(self._due) and taken >> self._due[first][1] & 1:
            first += 1
        return first


def _due(op: Observation) -> Version | None:
    """The version that a definite operation has to meet: its own, or the one it saw."""
    if op.outcome == "unknown":
        return None
    if op.version is not None:
        return op.version
    return op.seen.version if op.seen is not None else None


def _lift(place: int, following: list[int], previous: list[int]) -> None:
    before, after = previous[place], following[place]
    following[before], previous[after] = after, before


def _unlift(place: int, following: list[int], previous: list[int]) -> None:
    before, after = previous[place], following[place]
    following[before], previous[after] = place, place


def step(state: _Raw, op: Observation, idents: Idents) -> _Raw | None:
    """The specification: the state after `op` took effect with the answer that it gave; None: it could not have
    given it.
    """
    if op.outcome == "conflict":
        return _conflict(state, op, idents)
    if op.kind == "get":
        return _matches(state, op.seen)
    if op.kind in ("put", "delete"):
        return _write(state, op, idents)
    return _lock(state, op)


def _matches(state: _Raw, seen: Seen | None) -> _Raw | None:
    ident, version, mark, high = state
    if seen is None:
        return state if ident is None else None
    if ident != seen.ident or (version is not None and version != seen.version):
        return None
    if version is not None:
        return state
    return (ident, seen.version, mark, seen.version) if seen.version >= high else None


def _holds(state: _Raw, expected: Version | None, idents: Idents) -> bool:
    ident, version = state[:2]
    if expected is None:
        return True
    if expected == MUST_BE_ABSENT:
        return ident is None
    if ident is None:
        return False
    if expected == MUST_EXIST:
        return True
    return version == expected or (version is None and idents.get(expected) == ident)


def _write(state: _Raw, op: Observation, idents: Idents) -> _Raw | None:
    ident, version, mark, high = state
    if op.kind == "put" and ident == op.ident:
        if op.expected is not None or op.version == version:
            return _found_again(state, op)
        # An unconditional one may have been overwritten, by a write that nobody saw, and stored again in a later version.
        if op.version is not None and op.version <= high and version is not None:
            return None
        return ident, op.version, mark, max(high, op.version or high)
    if not _holds(state, op.expected, idents):
        return None
    fence = op.fence
    if mark is not None and fence is not None and fence < mark:
        return None
    if op.version is not None and op.version <= high:
        return None
    kept = mark if fence is None else fence
    return op.ident if op.kind == "put" else None, op.version, kept, op.version or high


def _found_again(state: _Raw, op: Observation) -> _Raw | None:
    """The same write again: found, not repeated."""
    ident, version, mark, high = state
    if op.version is None or op.version == version:
        return state
    return (ident, op.version, mark, max(high, op.version)) if version is None else None


def _lock(state: _Raw, op: Observation) -> _Raw | None:
    ident, _, mark, high = state
    if op.version is not None and op.version <= high:
        return None
    high = op.version or high
    if op.kind == "acquire":
        return op.ident, op.version, op.version, high
    if ident is None or (mark is not None and mark != op.token):
        return None
    return (op.ident, op.version, op.token, high) if op.kind == "renew" else (None, op.version, None, high)


def _conflict(state: _Raw, op: Observation, idents: Idents) -> _Raw | None:
    after = _matches(state, op.seen)
    if after is None:
        return None
    ident, _, mark, _ = after
    if op.kind in ("put", "delete"):
        if op.reason == "fenced":
            return after if mark is not None and op.fence is not None and op.fence < mark else None
        return None if _holds(after, op.expected, idents) else after
    if op.kind == "acquire":
        return after if ident is not None else None
    return None if ident is not None and mark is not None and mark == op.token else after


def why_not_exclusive(observations: Iterable[Observation], *, drift: float) -> str | None:
    """The reason why two owners have held a lock at once; None if they have not.

    A lease runs from the return of its acquire or renew until `ttl_s` after that was SENT, or until its owner
    sends the next lock operation (one of his with an unknown outcome may end it at any time). Clocks may run at
    rates that differ by `drift` (0.01: one in a hundred).
    """
    by_key: dict[str, list[Observation]] = {}
    for each in observations:
        if each.kind in ("acquire", "renew", "release"):
            by_key.setdefault(each.key, []).append(each)
    for key, history in by_key.items():
        for lease in history:
            if lease.outcome != "done" or lease.kind == "release":
                continue
            ended = [
                other.call_s
                for other in history
                if other.owner == lease.owner
                and other is not lease
                and (other.call_s > lease.call_s or other.outcome == "unknown")
            ]
            end_s = min([lease.call_s + lease.ttl_s * (1.0 - drift), *ended])
            for other in history:
                if _intrudes(other, lease, end_s):
                    return f"{key} was given to two owners:\n{told(lease)}\n{told(other)}"
    return None


def _intrudes(other: Observation, lease: Observation, end_s: float) -> bool:
    if other.kind != "acquire" or other.outcome != "done" or other.owner == lease.owner:
        return False
    assert other.version is not None
    assert lease.version is not None
    assert other.return_s is not None
    return other.version > lease.version and other.return_s < end_s


def told(each: Observation) -> str:
    """One line for people."""
    back = f"{each.return_s:9.4f}" if each.return_s is not None else "      ..."
    wanted = f" expected={each.expected}" if each.expected is not None else ""
    fence = f" fence={each.fence}" if each.fence is not None else ""
    lock = f" owner={each.owner} token={each.token} ttl={each.ttl_s}" if each.owner else ""
    seen = f" saw {each.seen.ident[:8]}@{each.seen.version}" if each.seen is not None else ""
    made = f" -> {each.version}" if each.version is not None else ""
    reason = f" ({each.reason})" if each.reason else ""
    name = f" {each.ident[:8]}" if each.ident else ""
    asked = f"{each.kind}{name}{wanted}{fence}{lock}"
    return f"{each.call_s:9.4f} {back} {each.client:8} {asked}: {each.outcome}{reason}{made}{seen}"
