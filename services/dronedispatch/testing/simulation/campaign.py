"""Many seeds over several processes, and what all of them together must have met."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context

import msgspec

from dronedispatch.replication.rules import without
from dronedispatch.testing.simulation.run import simulate

CHUNK = 50

MUST_HAPPEN = (
    "epochs",
    "voted_out",
    "bumped",
    "refresh",
    "joined",
    "join_failed",
    "copied",
    "hints_pulled",
    "forgotten",
    "read_repair",
    "replicate_failed",
    "relayed",
    "too_old",
    "apply_silent",
    "finish",
    "unknown",
    "last_member",
    "peer_disagrees",
    "purged",
    "moves",
    "leaves",
    "flips",
    "damaged_seen",
    "no_space",
    "outdated",
    "kills",
    "wiped",
    "unsynced_lost",
    "coordinator_kills",
    "consul_outages",
    "swap_answers_lost",
    "cuts",
    "pauses",
    "mutes",
    "join_unreached",
    "lost",
    "repeated",
    "silent",
    "blocked",
    "scans",
    "scan_differs",
    "retries",
    "conflict_version",
    "conflict_held",
    "conflict_fenced",
    "lease_expired",
    "done",
)
"""A campaign of a few hundred seeds in which one of these never happened has tested nothing of it, and fails."""


class Part(msgspec.Struct):
    """What some of the seeds gave. A failure is (seed, kind, reason)."""

    seeds: int
    counts: Counter[str]
    failures: list[tuple[int, str, str]]


def run_seeds(seeds: Sequence[int], rule_off: int = 0) -> Part:
    """Simulate each of `seeds`, in this process."""
    part = Part(0, Counter(), [])
    for seed in seeds:
        verdict = simulate(seed, without(rule_off))
        part.seeds += 1
        part.counts += verdict.counts
        if verdict.safety is not None:
            part.failures.append((seed, "safety", verdict.safety))
        if verdict.liveness is not None:
            part.failures.append((seed, "liveness", verdict.liveness))
    return part


def _leave_ctrl_c_to_the_parent() -> None:
    """A terminal sends it to all of us: a worker ends with its chunk, when the parent asks for no other one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def campaign(first: int, seeds: int, *, jobs: int, rule_off: int = 0) -> Iterator[Part]:
    """Simulate seeds `first` .. `first + seeds - 1` in `jobs` processes; yields parts as they come, in any order."""
    chunks = iter(
        [range(start, min(start + CHUNK, first + seeds)) for start in range(first, first + seeds, CHUNK)]
    )
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_leave_ctrl_c_to_the_parent)
    with pool:
        running: set[Future[Part]] = set()
        try:
            for chunk in chunks:
                running.add(pool.submit(run_seeds, chunk, rule_off))
                if len(running) >= 2 * jobs:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (each.result() for each in done)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in done)
        finally:
            pool.shutdown(cancel_futures=True)


def why_idle(counts: Counter[str]) -> str | None:
    """The reason why a campaign with these counts proves little: something never happened. None: everything did."""
    missing = [word for word in MUST_HAPPEN if not counts[word]]
    return f"never happened: {', '.join(missing)}" if missing else None
