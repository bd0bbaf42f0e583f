"""A client of the live events misses none while the gateways that it hangs on are killed one after another."""

from __future__ import annotations

import contextlib
import random

import pytest
from scripts.local import traffic

from dronedispatch.fleet.city import default_city
from support.live_system import Events, LiveSystem, eventually

pytestmark = pytest.mark.real

STATIONS = ("assigned", "in-progress", "delivered")


def place(system: LiveSystem, rng: random.Random, number: int) -> list[str]:
    with contextlib.closing(system.caller()) as caller:
        answers = [
            caller.insist(
                "POST",
                "/deliveries",
                traffic.order(default_city(), rng),
                {"Idempotency-Key": f"resume-{rng.random()}"},
            )
            for _ in range(number)
        ]
    assert {answer.status for answer in answers} == {201}, [a.body for a in answers if a.status != 201]
    return [str(answer.document["id"]) for answer in answers]


def silences(system: LiveSystem) -> int:
    """How often a gateway has heard nothing from the dispatcher for so long that it may have missed something.

    That is a machine which gives the dispatcher no time, and no fault of a gateway that is killed.
    """
    logs = (system.home / "logs").glob("gateway-*.log")
    return sum(log.read_text(encoding="utf-8").count("no word from the dispatcher") for log in logs)


def test_a_stream_that_is_cut_off_by_dying_gateways_resumes_without_a_gap(healthy: LiveSystem) -> None:
    rng = random.Random(5)
    placed: list[str] = []
    with Events(healthy, topics="delivery") as events:

        def told(delivery_id: str) -> set[str]:
            return {one["status"] for one in events.deliveries if one["delivery_id"] == delivery_id}

        tried: list[str] = []

        def flow() -> bool:
            """Whether the life of an order was told; when one was assigned untold, the next one is placed."""
            if not tried or healthy.get(f"/deliveries/{tried[-1]}")["status"] != "pending":
                tried.extend(place(healthy, rng, 1))
            return any(told(one) >= {"assigned"} for one in tried)

        # A system that has just started: a gateway that is not yet at the broker misses what is told now, and says so later.
        eventually(flow, "events are told", 60)
        at_the_start, silent_before = events.resets, silences(healthy)
        placed += place(healthy, rng, 10)
        for name in ("gateway-1", "gateway-2", "gateway-3"):
            healthy.kill(name)
            placed += place(healthy, rng, 5)
            eventually(lambda name=name: healthy.rows()[name]["healthy"], f"{name} is back", 30)  # type: ignore[misc]

        def known() -> bool:
            """Whether every station of every order was told; after an admitted gap, a reader reads again instead."""
            if events.resets == at_the_start:
                return all(told(delivery_id) >= set(STATIONS) for delivery_id in placed)
            return all(healthy.get(f"/deliveries/{one}")["status"] == STATIONS[-1] for one in placed)

        eventually(known, "every station of every order is told", 90)
        admitted = events.resets - at_the_start
        assert not admitted or silences(healthy) > silent_before, (
            f"{admitted} gaps were admitted without a silence"
        )
