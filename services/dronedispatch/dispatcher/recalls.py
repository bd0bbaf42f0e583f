"""Recalls drones' orders: what is taken from a drone is marked in its telemetry first, by CAS."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec
import structlog
from prometheus_client import Counter

from dronedispatch.dispatcher.core.recall import Recall, RecallAnswer, answer_of_delivery, answer_of_drone
from dronedispatch.fleet.deliveries import Delivery
from dronedispatch.fleet.documents import Unreadable, decode, delivery_key, encode, telemetry_key
from dronedispatch.fleet.drones import Telemetry
from dronedispatch.kv.client import Cas, Get, Item, KVClient, OpResult
from dronedispatch.kv.errors import VersionConflict
from dronedispatch.kv.version import Version

TRIES_MAX = 3  # a drone in the air is stored every few ticks, so a mark seldom loses twice
RECALLED = Counter("dd_dispatch_recalls_total", "Orders that were to be taken from a drone", ["answer"])

T = TypeVar("T")
log = structlog.get_logger()


class Recalls:
    """Asks the store whether drones may lose their orders."""

    def __init__(self, kv: KVClient) -> None:
        self._kv = kv

    async def granted(self, recalls: Iterable[Recall]) -> set[tuple[str, str]]:
        """The pairs whose drone has picked nothing up by these orders and never will.

        What could not be read or written is not granted: the next round decides anew. A mark without what was to follow
        it is found by reconcile.
        """
        granted: set[tuple[str, str]] = set()
        waiting = list(recalls)
        for _ in range(TRIES_MAX):
            if not waiting:
                break
            marks: list[tuple[Recall, Cas]] = []
            for recall, told, delivery in await self._look(waiting):
                answer, mark = _answer(recall, told, delivery)
                if answer is RecallAnswer.YES:
                    granted.add(recall.pair)
                elif mark is not None:
                    marks.append((recall, mark))
                else:
                    _count(recall, "refused")
            results = await self._kv.batch([mark for _, mark in marks])
            waiting = []
            for (recall, _), result in zip(marks, results, strict=True):
                if isinstance(result, Version):
                    granted.add(recall.pair)
                    _count(recall, "marked")
                elif isinstance(result, VersionConflict):
                    waiting.append(recall)
                else:
                    _count(recall, "unknown")
        return granted

    async def _look(self, recalls: list[Recall]) -> list[tuple[Recall, OpResult, OpResult]]:
        """Each with the telemetry of its drone and its delivery, as they are stored."""
        keys = [telemetry_key(recall.drone_id) for recall in recalls]
        keys += [delivery_key(recall.delivery_id) for recall in recalls]
        results = await self._kv.batch([Get(key) for key in keys])
        return list(zip(recalls, results[: len(recalls)], results[len(recalls) :], strict=True))


def _answer(recall: Recall, told: OpResult, delivery: OpResult) -> tuple[RecallAnswer, Cas | None]:
    """With the mark to be stored for MARK; without one there is nothing that could be marked."""
    if recall.intent is not None:
        if delivery is not None and not isinstance(delivery, Item):
            return RecallAnswer.NO, None
        order = None if delivery is None else _decoded(Delivery, delivery)
        if delivery is not None and order is None:
            return RecallAnswer.NO, None
        version = None if delivery is None else delivery.version
        if (answer := answer_of_delivery(recall, order, version)) is not RecallAnswer.MARK:
            return answer, None
    if told is None:
        return RecallAnswer.YES, None  # somebody has deleted it: a drone without a record flies nothing
    telemetry = _decoded(Telemetry, told) if isinstance(told, Item) else None
    if telemetry is None or not isinstance(told, Item):
        return RecallAnswer.NO, None
    seq = recall.orders_seq
    if (answer := answer_of_drone(telemetry, seq)) is not RecallAnswer.MARK:
        return answer, None
    marked = msgspec.structs.replace(telemetry, recalled_seq=seq)
    return RecallAnswer.MARK, Cas(told.key, told.version, encode(marked), tags=told.tags)


def _decoded(kind: type[T], item: Item) -> T | None:
    try:
        return decode(kind, item.value)
    except Unreadable:  # whoever reads the fleet reports it
        return None


def _count(recall: Recall, answer: str) -> None:
    RECALLED.labels(answer).inc()
    log.info(
        "recall",
        drone_id=recall.drone_id,
        orders_seq=recall.orders_seq,
        delivery_id=recall.delivery_id,
        answer=answer,
    )
