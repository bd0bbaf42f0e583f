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

from dronedispatch.kv.calls import MUST_BE_ABSENT, MUST_EXIST
from dronedispatch.kv.version import Version


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


_EMPTY = (None, None, None)
# What a key holds: (name of its write, None: absent; version, None: not known; the highest fence seen, or a lock's token).
_Raw = tuple[str | None, Version | None, Version | None]
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
    idents: Idents = {}
    for each in history:
        if each.seen is not None:
            idents[each.seen.version] = each.seen.ident
        if each.version is not None and each.kind != "delete" and each.kind != "release":
            idents[each.version] = each.ident
    return _search(_without_the_unseen(_sorted(history)), idents, configurations_max)


def _sorted(history: Iterable[Observation]) -> list[Observation]:
    return sorted(history, key=lambda each: each.call_s)


def _without_the_unseen(history: list[Observation]) -> list[Observation]:
    """Drop unknown facts that no answer can rest on: a live write that nobody saw explains nothing.

    Not so where a definite success needed "a value is there" (MUST_EXIST), or where it could have raised a fence.
    """
    if any(each.expected == MUST_EXIST and each.outcome == "done" for each in history):
        return history
    named = {each.seen.ident for each in history if each.seen is not None}
    named.update(each.ident for each in history if each.outcome == "done")
    return [
        each
        for each in history
        if each.outcome != "unknown" or each.kind != "put" or each.fence is not None or each.ident in named
    ]


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


def _search(history: list[Observation], idents: Idents, configurations_max: int) -> bool:
    """Depth first over what may take effect next; a configuration (what is taken, state) is met once (Lowe)."""
    timeline = _Timeline(history)
    definite = len(timeline.return_of)
    if not definite:
        return True
    seen: set[tuple[int, _Raw]] = set()
    state: _Raw = _EMPTY
    taken = 0
    path: list[tuple[int, _Raw]] = []
    choices = [iter(timeline.next())]
    while choices:
        index = next(choices[-1], None)
        if index is None:
            choices.pop()
            if path:
                index, state = path.pop()
                taken &= ~(1 << index)
                timeline.put_back(index)
                definite += index in timeline.return_of
            continue
        after = step(state, history[index], idents)
        reached = taken | 1 << index
        if after is None or (reached, after) in seen:
            continue
        if (after[0], after[2]) == (None, state[2]) and state[0] is None and index not in timeline.return_of:
            continue  # a delete that may have happened, of what is absent already
        seen.add((reached, after))
        if len(seen) > configurations_max:
            raise Undecided(f"more than {configurations_max} configurations")
        path.append((index, state))
        state, taken = after, reached
        timeline.take(index)
        definite -= index in timeline.return_of
        if not definite:
            return True
        choices.append(iter(timeline.next()))
    return False


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
    ident, version, mark = state
    if seen is None:
        return state if ident is None else None
    if ident != seen.ident or (version is not None and version != seen.version):
        return None
    return state if version is not None else (ident, seen.version, mark)


def _holds(state: _Raw, expected: Version | None, idents: Idents) -> bool:
    ident, version, _ = state
    if expected is None:
        return True
    if expected == MUST_BE_ABSENT:
        return ident is None
    if ident is None:
        return False
    if expected == MUST_EXIST:
        return True
    return version == expected or (version is None and idents.get(expected) == ident)


def _later(version: Version | None, before: Version | None) -> bool:
    return version is None or before is None or version > before


def _write(state: _Raw, op: Observation, idents: Idents) -> _Raw | None:
    ident, version, mark = state
    if op.kind == "put" and ident == op.ident:
        if op.expected is not None or op.version == version:
            # The same write again: found, not repeated.
            return (
                state
                if op.version in (None, version)
                else (ident, op.version, mark)
                if version is None
                else None
            )
        # An unconditional one may have been overwritten, by a write that nobody saw, and stored again in a later version.
        return (ident, op.version, mark) if _later(op.version, version) else None
    if not _holds(state, op.expected, idents):
        return None
    fence = op.fence
    if mark is not None and fence is not None and fence < mark:
        return None
    if not _later(op.version, version):
        return None
    return op.ident if op.kind == "put" else None, op.version, mark if fence is None else fence


def _lock(state: _Raw, op: Observation) -> _Raw | None:
    ident, version, mark = state
    if not _later(op.version, version):
        return None
    if op.kind == "acquire":
        return op.ident, op.version, op.version
    if ident is None or (mark is not None and mark != op.token):
        return None
    return (op.ident, op.version, op.token) if op.kind == "renew" else (None, op.version, None)


def _conflict(state: _Raw, op: Observation, idents: Idents) -> _Raw | None:
    after = _matches(state, op.seen)
    if after is None:
        return None
    ident, _, mark = after
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
