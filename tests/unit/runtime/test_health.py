"""The verdict: a page that says healthy is right, and every reason says what to type."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dronedispatch.runtime.health import Copies, Facts, Reason, Word, judge, reasons_of

WHOLE = Copies(64, 64, 0, 0, 0, {})


def test_who_lacks_nothing_is_healthy_and_gives_no_reason() -> None:
    assert judge(Facts(copies=WHOLE)).document() == {"health": "healthy", "reasons": []}


LACKS: list[tuple[dict[str, Any], str, str]] = [
    (
        {"copies": Copies(64, 22, 42, 42, 0, {"r3": "does not answer"})},
        "slots_short",
        "42 of 64 slots have fewer copies than they should, 42 of them only one (r3: does not answer)",
    ),
    (
        {"copies": Copies(64, 43, 0, 0, 21, {"r2": "does not answer", "r3": "does not answer"})},
        "slots_lost",
        "21 of 64 slots have no copy that answers",
    ),
    ({"view_missing": True}, "view_missing", "Consul has lost the view"),
    ({"view_unreadable": "not a view"}, "view_unreadable", "cannot be read (not a view)"),
    ({"consul_away_s": 11.0}, "consul_away", "Consul has not answered for 11 s"),
    ({"broker_away_s": 30.0}, "broker_away", "RabbitMQ has taken no message for 30 s"),
    ({"store_away_s": 30.0}, "store_away", "no coordinator"),
    ({"gateways_away_s": 11.0}, "gateways_away", "no gateway has answered the load balancer for 11 s"),
    ({"gateways_out": {"gateway-2": "connect failed"}}, "gateways_out", "gateway-2 (connect failed)"),
    ({"silent": {"drone_updates": 11.0, "delivery_status": 1.0}}, "subscription_silent", "drone_updates"),
    ({"disk_used": 0.9}, "disk_nearly_full", "90% full"),
    ({"map_used": 0.86}, "map_nearly_full", "86% of the map"),
    ({"no_room": "the disk is full"}, "disk_full", "the disk is full"),
    ({"copied_home": "a copy"}, "copied_home", "a copy"),
    ({"clocks": {"r1": 3600.0, "r2": 0.1}}, "clock_off", "r1 3600 s ahead"),
    ({"clocks": {"r1": -3.0}}, "clock_off", "r1 3 s behind"),
    ({"told": (Reason("disk_full", "r1: full", "x"),)}, "disk_full", "r1: full"),
]


@pytest.mark.parametrize(("facts", "kind", "text"), LACKS, ids=[row[1] + row[2][:8] for row in LACKS])
def test_whoever_serves_less_than_it_promises_is_degraded_says_why_and_what_to_type(
    facts: dict[str, Any], kind: str, text: str
) -> None:
    verdict = judge(replace(Facts(copies=WHOLE), **facts))
    assert verdict.word is Word.DEGRADED
    (reason,) = verdict.reasons
    assert reason.kind == kind and text in reason.text and reason.next


def test_who_cannot_serve_is_not_ready_whatever_else_is_wrong() -> None:
    verdict = judge(Facts(not_ready="starting", view_missing=True))
    assert verdict.word is Word.NOT_READY
    assert [reason.kind for reason in verdict.reasons] == ["not_ready", "view_missing"]


def test_a_short_absence_is_a_restart_and_no_reason() -> None:
    assert judge(Facts(consul_away_s=3.0, broker_away_s=3.0, store_away_s=3.0)).word is Word.HEALTHY


def test_what_is_told_by_another_is_not_told_twice() -> None:
    verdict = judge(Facts(view_missing=True, told=(Reason("view_missing", "from another", "x"),)))
    assert len(verdict.reasons) == 1


def test_reasons_survive_the_way_through_a_health_document() -> None:
    verdict = judge(Facts(view_missing=True, disk_used=0.9))
    assert reasons_of(verdict.document()) == verdict.reasons
    assert reasons_of({"reasons": [1, {"kind": 2}, None]}) == ()
