"""A client of the live events misses none while the gateways that it hangs on are killed one after another."""

from __future__ import annotations

import itertools

import pytest

from support.live_system import Events, LiveSystem, eventually

pytestmark = pytest.mark.real

STATIONS = ("assigned", "in-progress", "delivered")


def silences(system: LiveSystem) -> int:
    """How often a gateway has heard nothing from the dispatcher for so long that it may have missed something.

    That is a machine which gives the dispatcher no time, and no fault of a gateway that is killed.
    """
    logs = (system.home / "logs").glob("gateway-*.log")
    return sum(log.read_text(encoding="utf-8").count("no word from the dispatcher") for log in logs)


def test_a_stream_that_is_cut_off_by_dying_gateways_resumes_without_a_gap(healthy: LiveSystem) -> None:
    seeds = itertools.count(5)
    placed: list[str] = []
    with Events(healthy, topics="delivery") as events:

        def told(delivery_id: str) -> set[str]:
            return {one["status"] for one in events.deliveries if one["delivery_id"] == delivery_id}

        tried: list[str] = []

        def flow() -> bool:
            """Whether the life of an order was told; when one was assigned untold, the next one is placed."""
            if not tried or healthy.get(f"/deliveries/{tried[-1]}")["status"] != "pending":
                tried.extend(healthy.place(1, seed=next(seeds)))
            return any(told(one) >= {"assigned"} for one in tried)

        # A system that has just started: a gateway that is not yet at the broker misses what is told now, and says so later.
        eventually(flow, "events are told", 60)
        at_the_start, silent_before = events.resets, silences(healthy)
        placed += healthy.place(10, seed=next(seeds))
        for name in ("gateway-1", "gateway-2", "gateway-3"):
            healthy.kill(name)
            placed += healthy.place(5, seed=next(seeds))
            eventually(lambda name=name: healthy.rows()[name]["healthy"], f"{name} is back", 30)  # type: ignore[misc]

        def known() -> bool:
            """Whether every station of every order was told; after an admitted gap, a reader reads again instead."""
            if events.resets == at_the_start:
                return all(told(delivery_id) >= set(STATIONS) for delivery_id in placed)
            return all(healthy.get(f"/deliveries/{one}")["status"] == STATIONS[-1] for one in placed)

        eventually(known, "every station of every order is told", 90)
        admitted = events.resets - at_the_start
        silent = silences(healthy) > silent_before
        assert not admitted or silent, f"{admitted} gaps were admitted without a silence"
