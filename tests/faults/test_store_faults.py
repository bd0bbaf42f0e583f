"""Faults on real processes, each in its own network namespace: no acknowledged write lost, every history linearizable.

The long run: DD_FAULT_EVENTS=100 .venv/bin/pytest tests/faults/test_store_faults.py -k random -s
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store_faults import FAULTS, Fault, evidence, one_of, wait_whole
from store_parts import Store, running_store
from store_workload import Workload

pytestmark = [pytest.mark.real, pytest.mark.netns]

GAP_MAX_S = {
    "kill -9": 2.0,
    "SIGSTOP": 2.5,
    "partition": 2.5,
    "one-way partition": 2.5,
    "graceful restart": 1.5,
}
"""Without any successful write, in CI; the figures on an idle machine are the benchmark's (scripts/bench kv)."""

EVENTS = int(os.environ.get("DD_FAULT_EVENTS", "6"))


COPIES = (1, 2, 3)
PLAYS = 4


@pytest.fixture(scope="module")
def store_with(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Store]]:
    """The store with so many copies. It runs until another number is asked for: not started anew for each fault."""
    current: list[Store] = []
    with contextlib.ExitStack() as running:

        def of(rf: int) -> Store:
            if not current or current[0].rf != rf:
                running.close()
                folder = tmp_path_factory.mktemp("store")
                current[:] = [running.enter_context(running_store(folder, rf=rf, namespaces=True))]
            return current[0]

        yield of


@pytest.fixture
def store(rf: int, store_with: Callable[[int], Store]) -> Store:
    return store_with(rf)


def workload_of(store: Store, seed: int) -> Workload:
    return Workload(lambda: [store.address(name) for name in ("f1", "f2")], seed=seed)


async def play(store: Store, workload: Workload, fault: Fault, name: str) -> tuple[float, float]:
    """Begin and end `fault` under way; when it began and when it was over. A fault that nobody felt fails.

    Whether an operation is under way just then is chance: it is played up to PLAYS times until somebody feels it.
    """
    for _ in range(PLAYS):
        began_s, ended_s, felt = await play_once(store, workload, fault, name)
        if felt:
            return began_s, ended_s
    raise AssertionError(f"{fault.name} on {name} was not felt by anybody, {PLAYS} times")


async def play_once(store: Store, workload: Workload, fault: Fault, name: str) -> tuple[float, float, bool]:
    """As `play`, and whether somebody felt it."""
    before = await asyncio.to_thread(evidence, store)
    operations = workload.operations
    began_s = time.monotonic()
    await asyncio.to_thread(fault.begin, store, name)
    await asyncio.sleep(fault.hold_s)
    during = await asyncio.to_thread(evidence, store)
    await asyncio.to_thread(fault.end, store, name)
    ended_s = time.monotonic()
    await asyncio.to_thread(wait_whole, store)
    after = await asyncio.to_thread(evidence, store)
    assert workload.operations > operations
    return began_s, ended_s, fault.felt(before, during) or fault.felt(before, after)


PLAYED = [
    pytest.param(rf, fault, id=f"rf{rf}-{fault.name}")
    for rf in COPIES
    for fault in FAULTS.values()
    if fault.copies <= rf  # with fewer copies of each key it is not promised
]


@pytest.mark.parametrize(("rf", "fault"), PLAYED)
async def test_a_fault_loses_nothing_and_no_history_breaks(
    store: Store, fault: Fault, tmp_path: Path
) -> None:
    rng = random.Random(f"{store.rf} {fault.name}")
    workload = workload_of(store, seed=store.rf)
    workload.start()
    await asyncio.sleep(0.5)
    began_s, ended_s = await play(store, workload, fault, one_of(store, fault, rng))
    await asyncio.sleep(0.5)
    await workload.finish()
    workload.save(tmp_path / "history.jsonl")
    assert workload.why_not() is None
    assert workload.unknown_share() < 0.05, workload.outcomes
    if store.rf > 1 and fault.name in GAP_MAX_S:
        assert workload.longest_gap_s(began_s, ended_s) < GAP_MAX_S[fault.name], workload.outcomes


@pytest.mark.parametrize("rf", COPIES, ids=lambda rf: f"rf{rf}")
async def test_random_faults_one_after_the_other(store: Store, tmp_path: Path) -> None:
    rng = random.Random(f"random {store.rf}")
    workload = workload_of(store, seed=100 + store.rf)
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
    assert workload.unknown_share() < 0.05, (played, workload.outcomes)
