"""The checker itself: it must accept what is possible, and turn red on every kind of lie."""

from __future__ import annotations

import itertools
from random import Random
from typing import Literal

import pytest

from dronedispatch.kv.version import Version
from dronedispatch.replication.calls import MUST_BE_ABSENT, MUST_EXIST
from dronedispatch.testing.linearizability import (
    Observation,
    Seen,
    Undecided,
    linearizable,
    why_not,
    why_not_exclusive,
)

Outcome = Literal["done", "unknown"]


def put(
    call: float, back: float | None, ident: str, n: int = 0, expected: Version | None = None
) -> Observation:
    outcome: Outcome = "unknown" if back is None else "done"
    version = Version(1, n) if n else None
    return Observation("k", "c", "put", call, back, outcome, ident=ident, expected=expected, version=version)


def delete(call: float, back: float | None, n: int = 0, expected: Version | None = None) -> Observation:
    outcome: Outcome = "unknown" if back is None else "done"
    version = Version(1, n) if n else None
    return Observation("k", "c", "delete", call, back, outcome, expected=expected, version=version)


def get(call: float, back: float, ident: str | None, n: int = 0) -> Observation:
    seen = None if ident is None else Seen(ident, Version(1, n))
    return Observation("k", "c", "get", call, back, "done", seen=seen)


def conflict(call: float, back: float, expected: Version, ident: str | None, n: int = 0) -> Observation:
    seen = None if ident is None else Seen(ident, Version(1, n))
    return Observation(
        "k", "c", "put", call, back, "conflict", ident="x", expected=expected, seen=seen, reason="version"
    )


V1, V2 = Version(1, 1), Version(1, 2)

POSSIBLE: dict[str, list[Observation]] = {
    "nothing": [],
    "a read of nothing": [get(0, 1, None)],
    "a write and a read": [put(0, 1, "a", 1), get(2, 3, "a", 1)],
    "a read beside a write may see either": [put(0, 9, "a", 1), get(1, 2, None), get(3, 4, "a", 1)],
    "an unknown write may happen late": [put(0, None, "a"), get(1, 2, None), get(3, 4, "a", 1)],
    "an unknown write may never happen": [put(0, None, "a"), get(1, 2, None), get(3, 4, None)],
    "a conflict is a read": [put(0, 1, "a", 1), conflict(2, 3, MUST_BE_ABSENT, "a", 1)],
    "a conflict on nothing": [conflict(0, 1, V1, None)],
    "a delete": [put(0, 1, "a", 1), delete(2, 3, 2), get(4, 5, None)],
    "a create after a delete": [put(0, 1, "a", 1), delete(2, 3, 2), put(4, 5, "b", 3, MUST_BE_ABSENT)],
    "the same write again": [put(0, 1, "a", 1), put(2, 3, "a", 1)],
    "the same write again, overwritten by one that nobody saw": [
        put(0, 1, "a", 1),
        put(2, None, "b"),
        put(3, 4, "a", 3),
        get(5, 6, "a", 3),
    ],
    "two CAS of which one is unknown": [
        put(0, 1, "a", 1),
        put(2, None, "b", expected=V1),
        put(2, 3, "c", 2, V1),
        get(4, 5, "c", 2),
    ],
    "a delete that needs a value, of an unseen write": [put(0, None, "a"), delete(1, 2, 2, MUST_EXIST)],
}

IMPOSSIBLE: dict[str, list[Observation]] = {
    "a read of what was never written": [get(0, 1, "a", 1)],
    "a lost write": [put(0, 1, "a", 1), get(2, 3, None)],
    "an old value after a newer one": [put(0, 1, "a", 1), put(2, 9, "b", 2), get(3, 4, "b", 2), get(5, 6, "a", 1)],
    "a read from the future": [get(0, 1, "a", 1), put(2, 3, "a", 1)],
    "two CAS from one version": [put(0, 1, "a", 1), put(2, 3, "b", 2, V1), put(4, 5, "c", 3, V1)],
    "two creates": [put(0, 9, "a", 1, MUST_BE_ABSENT), put(0, 9, "b", 2, MUST_BE_ABSENT)],
    "a conflict on what was gone": [put(0, 1, "a", 1), put(2, 3, "b", 2), conflict(4, 5, MUST_BE_ABSENT, "a", 1)],
    "a conflict whose condition was true": [put(0, 1, "a", 1), conflict(2, 3, V1, "a", 1)],
    "an unknown CAS after its version is gone": [
        put(0, 1, "a", 1),
        put(2, None, "b", expected=V1),
        put(3, 4, "c", 2, V1),
        get(5, 6, "b", 3),
    ],
    "a value back from the dead": [put(0, 1, "a", 1), delete(2, 3, 2), get(4, 5, "a", 1)],
    "a version that does not rise": [put(0, 1, "a", 2), put(2, 3, "b", 1)],
    "one write in two versions that nothing explains": [
        put(0, 1, "a", 1, MUST_BE_ABSENT),
        put(2, 3, "a", 2, MUST_BE_ABSENT),
    ],
}  # fmt: skip


@pytest.mark.parametrize("history", POSSIBLE.values(), ids=POSSIBLE.keys())
def test_possible_histories_are_accepted(history: list[Observation]) -> None:
    assert why_not(history) is None


@pytest.mark.parametrize("history", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_impossible_histories_are_told_with_the_key(history: list[Observation]) -> None:
    reason = why_not(history)
    assert reason is not None
    assert reason.startswith("the history of k is not linearizable:\n")


def by_every_order(history: list[Observation]) -> bool:
    """The slow truth, for definite histories: some order respects real time, and is a run of a register whose
    versions rise.
    """
    for order in itertools.permutations(history):
        value: str | None = None
        version = Version(0, 0)
        for place, each in enumerate(order):
            late = order[place + 1 :]
            if any(other.return_s is not None and other.return_s < each.call_s for other in late):
                break
            if each.kind == "get" and (each.seen.ident if each.seen else None) != value:
                break
            if each.version is not None:
                if each.version <= version:
                    break
                value, version = each.ident, each.version
        else:
            return True
    return False


@pytest.mark.parametrize("seed", range(300))
def test_it_agrees_with_the_slow_truth_on_random_histories(seed: int) -> None:
    """Operations take effect at random points; every third read lies."""
    rng = Random(seed)
    spans = [(call := rng.uniform(0, 5), call + rng.uniform(0.1, 3)) for _ in range(rng.randrange(2, 7))]
    points = sorted((rng.uniform(call, back), call, back) for call, back in spans)
    history = []
    written = 0
    for _, call, back in points:
        if rng.random() < 0.5:
            written += 1
            history.append(put(call, back, f"w{written}", written))
        else:
            told = rng.randrange(4) if rng.random() < 0.33 else written
            history.append(get(call, back, f"w{told}" if told else None, told))
    assert linearizable(history) == by_every_order(history)


def test_the_random_histories_are_of_both_kinds() -> None:
    assert by_every_order([put(0, 1, "w1", 1), get(2, 3, "w1", 1)])
    assert not by_every_order([put(0, 1, "w1", 1), get(2, 3, None)])


def test_a_search_that_grows_too_large_is_said_to_be_undecided() -> None:
    history = [put(0, 9, f"w{number}") for number in range(8)]
    with pytest.raises(Undecided):
        linearizable([*history, get(10, 11, "nobody", 1)], configurations_max=50)


def lock(kind: str, call: float, back: float, owner: str, n: int, token: int = 0) -> Observation:
    assert kind in ("acquire", "renew", "release")
    return Observation(
        "lock/x",
        owner,
        kind,  # type: ignore[arg-type]
        call,
        back,
        "done",
        ident=f"{owner}{n}",
        version=Version(1, n),
        owner=owner,
        token=Version(1, token) if token else None,
        ttl_s=10.0,
    )


def test_a_lease_ends_when_its_time_is_over_or_its_owner_releases_it() -> None:
    assert (
        why_not_exclusive([lock("acquire", 0, 1, "me", 1), lock("acquire", 10, 11, "you", 2)], drift=0)
        is None
    )
    released = [
        lock("acquire", 0, 1, "me", 1),
        lock("release", 2, 3, "me", 2, token=1),
        lock("acquire", 4, 5, "you", 3),
    ]
    assert why_not_exclusive(released, drift=0) is None
    assert why_not(released) is None


@pytest.mark.parametrize(
    "history",
    [
        [lock("acquire", 0, 1, "me", 1), lock("acquire", 2, 3, "you", 2)],
        [
            lock("acquire", 0, 1, "me", 1),
            lock("renew", 9, 9.5, "me", 2, 1),
            lock("acquire", 12, 13, "you", 3),
        ],
    ],
)
def test_two_owners_at_once_are_told(history: list[Observation]) -> None:
    reason = why_not_exclusive(history, drift=0)
    assert reason is not None
    assert reason.startswith("lock/x was given to two owners")


def test_a_lease_that_has_passed_to_another_cannot_be_renewed() -> None:
    history = [
        lock("acquire", 0, 1, "me", 1),
        lock("acquire", 20, 21, "you", 2),
        lock("renew", 22, 23, "me", 3, token=1),
    ]
    assert why_not(history) is not None


@pytest.mark.parametrize(("fence", "possible"), [(Version(1, 1), False), (Version(1, 2), True), (None, True)])
def test_a_lower_fence_than_one_seen_cannot_succeed(fence: Version | None, possible: bool) -> None:
    first = Observation("k", "c", "put", 0, 1, "done", ident="a", fence=Version(1, 2), version=Version(1, 1))
    second = Observation("k", "c", "put", 2, 3, "done", ident="b", fence=fence, version=V2)
    assert (why_not([first, second]) is None) is possible
