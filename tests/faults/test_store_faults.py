"""Faults on real processes, each in its own network namespace: no acknowledged write lost, every history linearizable.

The long run: DD_FAULT_EVENTS=100 .venv/bin/pytest tests/faults/test_store_faults.py -k random -s
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from support.store_faults import FAULTS, Evidence, Fault, counted, evidence, mend, one_of, wait_whole
from support.store_parts import Store, running_store
from support.store_workload import Workload
from support.waiting import let_run, until_true, until_true_or_over

pytestmark = [pytest.mark.real, pytest.mark.netns]

WRITTEN_UNDER = frozenset({"kill -9", "SIGSTOP", "partition", "one-way partition", "answers lost"})
"""While one of these lasts, writes go on. For how long none succeeded is measured by `scripts/bench kv`."""
HELD_S = 20.0
"""One lasts until somebody feels it, at most so long: on a slow machine silence must last longer before it counts."""

EVENTS = int(os.environ.get("DD_FAULT_EVENTS", "6"))


COPIES = (1, 2, 3)
PLAYS_S = 60.0


@pytest.fixture(scope="module")
def store_with(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Store]]:
    """The store with so many copies. Each runs until the last test: not started anew for each fault."""
    started: dict[int, Store] = {}
    with contextlib.ExitStack() as running:

        def of(rf: int) -> Store:
            if rf not in started:
                folder = tmp_path_factory.mktemp("store")
                started[rf] = running.enter_context(running_store(folder, rf=rf, namespaces=True))
            return started[rf]

        yield of


@pytest.fixture
def store(rf: int, store_with: Callable[[int], Store]) -> Store:
    return store_with(rf)


@pytest.fixture
async def workload_of(store: Store) -> AsyncIterator[Callable[[int], Workload]]:
    """Clients of `store`. A test that fails leaves the next one neither its clients nor its faults."""
    made: list[Workload] = []

    def of(seed: int) -> Workload:
        made.append(Workload(lambda: [store.address(name) for name in ("f1", "f2")], seed=seed))
        return made[-1]

    yield of
    for workload in made:
        if not workload.finished:
            await workload.abandon()
            await asyncio.to_thread(mend, store)


async def play(store: Store, workload: Workload, fault: Fault, name: str) -> None:
    """Begin and end `fault` under way. A fault that nobody felt fails: it has shown nothing.

    Whether an operation is under way at the right moment is chance, and how long it must last to be felt is the machine's
    affair: it is begun again, for twice as long each time, until somebody feels it.
    """
    lengths_s = (min(HELD_S, fault.hold_s * 2**n) for n in itertools.count())

    async def felt() -> bool:
        return await play_once(store, workload, fault, name, next(lengths_s))

    await until_true(felt, f"{fault.name} on {name} is felt by somebody", PLAYS_S)


async def play_once(store: Store, workload: Workload, fault: Fault, name: str, hold_s: float) -> bool:
    """Whether somebody felt it."""
    before = await asyncio.to_thread(evidence, store)
    operations = workload.operations
    await asyncio.to_thread(fault.begin, store, name)
    if store.rf > 1 and fault.name in WRITTEN_UNDER:
        await held(store, fault, before)
        await workload.goes_on(1)
    else:
        await let_run(hold_s)
    during = await asyncio.to_thread(evidence, store)
    await asyncio.to_thread(fault.end, store, name)
    await asyncio.to_thread(wait_whole, store)
    after = await asyncio.to_thread(evidence, store)
    assert workload.operations > operations
    return fault.felt(before, during) or fault.felt(before, after)


async def held(store: Store, fault: Fault, before: Evidence) -> None:
    """Until somebody feels it, or for HELD_S: what is felt before then need not go on."""

    async def felt() -> bool:
        return fault.felt(before, await asyncio.to_thread(evidence, store))

    await until_true_or_over(felt, HELD_S)


PLAYED = [
    pytest.param(rf, fault, id=f"rf{rf}-{fault.name}")
    for rf in COPIES
    for fault in FAULTS.values()
    if fault.copies <= rf  # with fewer copies of each key it is not promised
]


@pytest.mark.parametrize(("rf", "fault"), PLAYED)
async def test_a_fault_loses_nothing_and_no_history_breaks(
    store: Store, workload_of: Callable[[int], Workload], fault: Fault, tmp_path: Path
) -> None:
    rng = random.Random(f"{store.rf} {fault.name}")
    workload = workload_of(store.rf)
    workload.start()
    await workload.goes_on()
    await play(store, workload, fault, one_of(store, fault, rng))
    await workload.goes_on()
    await workload.finish()
    workload.save(tmp_path / "history.jsonl")
    assert workload.why_not() is None
    assert workload.outcomes["unknown"] < workload.outcomes["done"], workload.outcomes


OF_OTHERS = frozenset({"outdated", "fenced", "voted_out"})
"""Epochs that r2 has no part in: of a write whose outcome is looked for, of a purge, of a vote on another replica."""


def tries(store: Store, name: str) -> int:
    """How often the replica `name` has tried to join, and how that came out is known."""
    return store.logged(name, "join failed") + store.logged(name, "joined")


@pytest.mark.parametrize("rf", [2])
async def test_who_cannot_be_reached_stays_out_and_costs_no_epoch_after_the_vote(
    store: Store, workload_of: Callable[[int], Workload]
) -> None:
    workload = workload_of(7)
    workload.start()
    await asyncio.to_thread(FAULTS["answers lost"].begin, store, "r2")
    await until_true(
        lambda: asyncio.to_thread(lambda: "r2" not in store.in_sync()), "r2 is voted out everywhere"
    )
    before = await asyncio.to_thread(evidence, store)
    joined = [store.logged(name, "joined") for name in ("r1", "r2", "r3")]
    ended = tries(store, "r2")
    await until_true(
        lambda: asyncio.to_thread(lambda: tries(store, "r2") >= ended + 3), "r2 tries three times"
    )
    epoch = await asyncio.to_thread(store.epoch)
    after = await asyncio.to_thread(evidence, store)
    again = [
        store.logged(name, "joined") - count for name, count in zip(("r1", "r2", "r3"), joined, strict=True)
    ]
    assert again[1] == 0
    assert epoch - before["epoch"] <= counted(after, OF_OTHERS) - counted(before, OF_OTHERS) + sum(again)
    await asyncio.to_thread(FAULTS["answers lost"].end, store, "r2")
    await asyncio.to_thread(wait_whole, store)
    await workload.finish()
    assert workload.why_not() is None


@pytest.mark.parametrize("rf", COPIES, ids=lambda rf: f"rf{rf}")
async def test_random_faults_one_after_the_other(
    store: Store, workload_of: Callable[[int], Workload], tmp_path: Path
) -> None:
    rng = random.Random(f"random {store.rf}")
    workload = workload_of(100 + store.rf)
    workload.start()
    played = []
    for _ in range(EVENTS):
        fault = rng.choice([fault for fault in FAULTS.values() if fault.copies <= store.rf])
        name = one_of(store, fault, rng)
        await play(store, workload, fault, name)
        played.append(f"{fault.name} on {name}")
    await workload.finish()
    workload.save(tmp_path / "history.jsonl")
    print(f"rf {store.rf}: {workload.operations} operations, {len(played)} faults, {workload.outcomes}")  # noqa: T201
    assert workload.why_not() is None, played
    assert workload.outcomes["unknown"] < workload.outcomes["done"], (played, workload.outcomes)
