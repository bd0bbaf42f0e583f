"""How a process, and what it serves, is: healthy, degraded or not ready, with reasons and the next command to type. Pure.

One function judges for everybody. *Not ready*: this process cannot serve. *Degraded*: it serves less than it promises; it
stays passing in Consul and is restarted by nobody, and every place that says "healthy" says it instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

AWAY_S = 10.0
"""Consul or the broker away for less than this is a restart, or a moment of the network."""
CUT_OFF_S = 20.0
"""Whom the store has not answered for so long leaves its work to others: a pause that it heals by itself is shorter."""
SILENT_S = 10.0
CLOCK_OFF_S = 2.0
NEARLY_FULL = 0.85
"""Of the map, or of the file system: long before writes are refused."""


class Word(StrEnum):
    """The three words."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    NOT_READY = "not ready"


@dataclass(frozen=True, slots=True)
class Reason:
    """`kind` is one of a small fixed set of words (the label of a metric), `text` a sentence, `next` what to type or do."""

    kind: str
    text: str
    next: str


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict. Reasons are in order of weight; a healthy process has none."""

    word: Word
    reasons: tuple[Reason, ...] = ()

    def document(self) -> dict[str, Any]:
        """Members of a health document."""
        return {
            "health": self.word.value,
            "reasons": [{"kind": one.kind, "text": one.text, "next": one.next} for one in self.reasons],
        }


@dataclass(frozen=True, slots=True)
class Copies:
    """How many slots of the store have all their copies, fewer (`one`: just one of several), or none, alive and in sync.

    `absent`: the replicas that are assigned slots which they do not answer for, and the reason of each that gave one.
    """

    slots: int
    whole: int
    fewer: int
    one: int
    none: int
    absent: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a process knows. Everything has the value of a process to which it does not apply, or where all is well.

    Times are seconds; shares are 0..1. `clocks`: process -> seconds by which its wall clock is ahead of this one.
    `told`: reasons that another process gave of what it serves this one with (a coordinator to a gateway).
    `gateways_out`: gateway -> what it did last, of those that a load balancer sends nothing to.
    """

    not_ready: str | None = None
    copies: Copies | None = None
    view_missing: bool = False
    view_unreadable: str | None = None
    consul_away_s: float = 0.0
    broker_away_s: float = 0.0
    store_away_s: float = 0.0
    silent: Mapping[str, float] | None = None
    disk_used: float = 0.0
    map_used: float = 0.0
    no_room: str | None = None
    copied_home: str | None = None
    clocks: Mapping[str, float] | None = None
    told: Sequence[Reason] = ()
    gateways_away_s: float = 0.0
    gateways_out: Mapping[str, str] | None = None


def judge(facts: Facts) -> Health:
    """The verdict on `facts`. The same facts give the same verdict, whoever asks."""
    reasons = [*_view(facts), *_slots(facts.copies), *_room(facts), *_away(facts), *_clocks(facts)]
    known = {reason.kind for reason in reasons}
    reasons += [reason for reason in facts.told if reason.kind not in known]
    if facts.not_ready is not None:
        why = Reason("not_ready", facts.not_ready, "scripts/logs, or this process's log, has more")
        return Health(Word.NOT_READY, (why, *reasons))
    return Health(Word.DEGRADED if reasons else Word.HEALTHY, tuple(reasons))


def _view(facts: Facts) -> list[Reason]:
    if facts.view_unreadable is not None:
        return [
            Reason(
                "view_unreadable",
                f"the view in Consul cannot be read ({facts.view_unreadable}): no failure can be mended",
                "dronedispatch kvctl recover",
            )
        ]
    if facts.view_missing:
        return [
            Reason(
                "view_missing",
                "Consul has lost the view: the store goes on with the one it knew, and no failure can be mended",
                "dronedispatch kvctl recover",
            )
        ]
    return []


def _slots(copies: Copies | None) -> list[Reason]:
    if copies is None or copies.whole == copies.slots:
        return []
    why = "; ".join(f"{name}: {reason}" for name, reason in sorted(copies.absent.items()))
    reasons = []
    if copies.none:
        reasons.append(
            Reason(
                "slots_lost",
                f"{copies.none} of {copies.slots} slots have no copy that answers: their keys answer 503 ({why})",
                "start the replicas that hold them (dronedispatch kvctl view --slots); only if their disks are gone for "
                "good: dronedispatch kvctl recover --accept-loss SLOTS",
            )
        )
    if copies.fewer:
        only = f", {copies.one} of them only one" if copies.one else ""
        reasons.append(
            Reason(
                "slots_short",
                f"{copies.fewer} of {copies.slots} slots have fewer copies than they should{only} ({why})",
                "dronedispatch kvctl view; start the replica that is away, or if it is gone for good: "
                "dronedispatch kvctl drain NAME",
            )
        )
    return reasons


def _room(facts: Facts) -> list[Reason]:
    reasons = []
    if facts.copied_home is not None:
        reasons.append(Reason("copied_home", facts.copied_home, "dronedispatch kvctl adopt"))
    if facts.no_room is not None:
        reasons.append(
            Reason("disk_full", facts.no_room, "make room on its file system: it comes back by itself")
        )
    elif facts.disk_used >= NEARLY_FULL:
        reasons.append(
            Reason(
                "disk_nearly_full",
                f"the file system of the store is {facts.disk_used:.0%} full",
                "make room, or move the data (docs/operations.md, Disk)",
            )
        )
    if facts.map_used >= NEARLY_FULL:
        reasons.append(
            Reason(
                "map_nearly_full",
                f"{facts.map_used:.0%} of the map is used: when it is full, writes answer 507",
                "raise KVSTORE_MAP_BYTES and restart the replicas one by one, or keep finished deliveries for fewer days",
            )
        )
    return reasons


def _away(facts: Facts) -> list[Reason]:
    reasons = []
    if facts.consul_away_s > AWAY_S:
        reasons.append(
            Reason(
                "consul_away",
                f"Consul has not answered for {facts.consul_away_s:.0f} s: no failure can be mended, nobody new is found",
                "scripts/status, then the log of consul",
            )
        )
    if facts.store_away_s > AWAY_S:
        reasons.append(
            Reason(
                "store_away",
                f"no coordinator of the store has answered for {facts.store_away_s:.0f} s",
                "scripts/status, then the log of kvfront; dronedispatch kvctl view",
            )
        )
    if facts.broker_away_s > AWAY_S:
        reasons.append(
            Reason(
                "broker_away",
                f"RabbitMQ has taken no message for {facts.broker_away_s:.0f} s: work goes on by periodic rounds, later",
                "scripts/status, then the log of rabbitmq",
            )
        )
    return reasons + _gateways(facts) + _silent(facts)


def _gateways(facts: Facts) -> list[Reason]:
    if facts.gateways_away_s > AWAY_S:
        return [
            Reason(
                "gateways_away",
                f"no gateway has answered the load balancer for {facts.gateways_away_s:.0f} s: requests get 503 or 504",
                "scripts/status, then the log of a gateway",
            )
        ]
    if not facts.gateways_out:
        return []
    said = "; ".join(f"{name} ({why})" for name, why in sorted(facts.gateways_out.items()))
    return [
        Reason(
            "gateways_out",
            f"no request is sent where the last ones failed, though Consul says healthy: {said}",
            "the log of the gateway; it is taken back by itself when it answers again",
        )
    ]


def _silent(facts: Facts) -> list[Reason]:
    reasons = []
    for queue, silent_s in sorted((facts.silent or {}).items()):
        if silent_s > SILENT_S:
            reasons.append(
                Reason(
                    "subscription_silent",
                    f"nothing has come on {queue} for {silent_s:.0f} s, not even a heartbeat",
                    "it is renewed by itself; if it stays so, the log of rabbitmq",
                )
            )
    return reasons


def _clocks(facts: Facts) -> list[Reason]:
    off = {name: s for name, s in (facts.clocks or {}).items() if abs(s) > CLOCK_OFF_S}
    if not off:
        return []
    said = ", ".join(
        f"{name} {abs(s):.0f} s {'ahead' if s > 0 else 'behind'}" for name, s in sorted(off.items())
    )
    return [
        Reason(
            "clock_off",
            f"clocks differ: {said}. No decision rests on them; times that people read do",
            "chronyc tracking, on the machines named",
        )
    ]


def reasons_of(document: Mapping[str, Any]) -> tuple[Reason, ...]:
    """The reasons in another process's health document; what is no reason is left out."""
    given = document.get("reasons")
    return tuple(
        Reason(one["kind"], one["text"], one["next"])
        for one in (given if isinstance(given, list) else ())
        if isinstance(one, dict) and all(isinstance(one.get(key), str) for key in ("kind", "text", "next"))
    )
