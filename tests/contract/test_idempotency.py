"""Idempotency-Key, from the client's side of the door to the store: one order however often it is sent.

Each rule is also switched off, and a test of it must then turn red.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from contract import test_gateway_api as answers
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import IDEM_PREFIX, decode, delivery_key, encode, idem_key
from dronedispatch.fleet.messages import DELIVERY_REQUESTS
from dronedispatch.gateway.core.idempotency import IdemRecord
from dronedispatch.gateway.core.order import Order
from dronedispatch.gateway.orders import OrderPlacement
from dronedispatch.kv.client import Cas, Item, Op
from dronedispatch.kv.errors import OutcomeUnknown
from dronedispatch.kv.version import Version
from dronedispatch.testing.door import OpenDoor, open_door
from dronedispatch.testing.gateway import MemoryGateway
from dronedispatch.testing.kv import MemoryKV
from dronedispatch.testing.serving import serving
from support.gateway_client import ORDER, Api, served_api
from support.rule_switches import Switch, always, must_turn_red, put

BODY = msgspec.json.encode(ORDER)
KEY = {"Idempotency-Key": "k1"}


def order(key: str | None = "k1", body: bytes = BODY) -> bytes:
    named = f"Idempotency-Key: {key}\r\n" if key else ""
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
    return f"POST /deliveries HTTP/1.1\r\nHost: a\r\n{named}{kind}\r\n\r\n".encode() + body


def told(answer: bytes) -> tuple[int, Any]:
    """(status, body)."""
    return int(answer.split()[1]), msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])


async def through_the_door(proof: Callable[[OpenDoor, MemoryGateway], Any]) -> None:
    """The door before two gateways that share their store, which is one gateway twice."""
    gateway = MemoryGateway()
    async with serving(gateway.app) as port, open_door([port, port]) as door:
        await proof(door, gateway)


def lose_first_answer(kv: MemoryKV) -> None:
    """The first delivery is stored, and the store cannot say so."""

    def lose(op: Op) -> None:
        if isinstance(op, Cas) and op.key.startswith("delivery:"):
            kv.after = always(None)
            raise OutcomeUnknown("lost")

    kv.after = lose


def deliveries(gateway: MemoryGateway) -> list[str]:
    return [key for key in gateway.kv.records if key.startswith("delivery:")]


async def test_a_lost_answer_is_one_order_behind_the_door_and_the_client_hears_201() -> None:
    async def proof(door: OpenDoor, gateway: MemoryGateway) -> None:
        lose_first_answer(gateway.kv)
        status, body = told(await door.exchange(order()))
        assert status == 201
        assert deliveries(gateway) == [delivery_key(body["id"])]
        assert door.core.books.retries == 1

    await through_the_door(proof)


async def test_without_a_key_a_lost_answer_is_unknown_and_nothing_is_ordered_twice() -> None:
    async def proof(door: OpenDoor, gateway: MemoryGateway) -> None:
        lose_first_answer(gateway.kv)
        answer = await door.exchange(order(key=None))
        assert told(answer)[0] == 504
        assert b"\r\nx-outcome: unknown\r\n" in answer
        assert len(deliveries(gateway)) == 1

    await through_the_door(proof)


async def test_another_body_under_a_key_is_422_through_the_door() -> None:
    async def proof(door: OpenDoor, gateway: MemoryGateway) -> None:
        first, _ = told(await door.exchange(order()))
        second, problem = told(await door.exchange(order(body=msgspec.json.encode(ORDER | {"weight": 3}))))
        assert (first, second, problem.get("field")) == (201, 422, "Idempotency-Key")
        assert len(deliveries(gateway)) == 1

    await through_the_door(proof)


async def test_requests_of_one_key_that_are_under_way_together_are_one_order() -> None:
    async with served_api() as api:
        pair, get = api.gateway.kv.pair, api.gateway.kv.get
        gate = asyncio.Barrier(6)

        async def together(first: Cas, second: Cas) -> Any:
            """All six stand before the key until the last of them is there."""
            await gate.wait()
            return await pair(first, second)

        async def looked_up(key: str) -> Item | None:
            if key.startswith(IDEM_PREFIX):
                await gate.wait()
            return await get(key)

        api.gateway.kv.pair = together  # type: ignore[method-assign,assignment]
        api.gateway.kv.get = looked_up  # type: ignore[method-assign]
        bodies = await asyncio.gather(*(api.place(headers=KEY) for _ in range(6)))
        assert bodies == [bodies[0]] * 6
        assert api.stored("delivery:") == [delivery_key(bodies[0]["id"])]
        assert len(api.gateway.publisher.bodies(DELIVERY_REQUESTS)) == 1


async def test_a_late_repetition_gets_the_first_answer_and_leaves_the_order_where_it_is() -> None:
    async with served_api() as api:
        first = await api.place(headers=KEY)
        await api.move(first["id"], DeliveryStatus.ASSIGNED, "d1")
        assert await api.place(headers=KEY) == first
        _, now = await api.delivery(first["id"])
        assert now.status is DeliveryStatus.ASSIGNED


# --- the rules, switched off ---


async def claimed_by_looking(
    self: OrderPlacement, order: Order, key: str, request_id: str
) -> tuple[Delivery, Version | None]:
    """Look, then write: two who look at once both find nothing."""
    item = await self._kv.get(idem_key(key))
    await asyncio.sleep(0)
    if item is not None:
        return await self._again(item, order, request_id)
    record = self._fresh(order)
    await self._kv.put(idem_key(key), encode(record))
    return await self._again(Item(idem_key(key), Version(1, 1), encode(record)), order, request_id)


async def claimed_by_nobody(
    self: OrderPlacement, order: Order, key: str, request_id: str
) -> tuple[Delivery, Version | None]:
    record = self._fresh(order)
    return await self._again(Item(key, Version(1, 1), encode(record)), order, request_id)


def with_new_answer(item: Item, order: Order) -> IdemRecord:
    """The key is known, but not what was said."""
    stored = decode(IdemRecord, item.value)
    return msgspec.structs.replace(stored, created_at="2000-01-01T00:00:00.000Z")


async def written_over(self: OrderPlacement, delivery: Delivery) -> bool:
    await self._kv.put(delivery_key(delivery.id), encode(delivery))
    return True


async def with_api(proof: Callable[[Api], Any]) -> None:
    async with served_api() as api:
        await proof(api)


GATEWAY = "dronedispatch.gateway.orders"
NO_CLAIM = put({"OrderPlacement._claim": claimed_by_nobody}, GATEWAY)
ANY_BODY = put({"why_not_the_same": always(None)}, GATEWAY)
RULES = (
    Switch("a key is one order", NO_CLAIM, with_api,
           (answers.test_an_unknown_outcome_is_504_and_the_key_makes_the_repetition_safe,)),
    Switch("a key is one order behind the door", NO_CLAIM,
           test_a_lost_answer_is_one_order_behind_the_door_and_the_client_hears_201),
    Switch("the first answer is given again", put({"OrderPlacement._stored": staticmethod(with_new_answer)}, GATEWAY),
           with_api, (answers.test_the_same_key_and_body_get_the_same_201_and_one_delivery,)),
    Switch("another body is refused", ANY_BODY, with_api,
           (answers.test_the_same_key_with_another_body_is_422_and_stores_nothing,)),
    Switch("another body is refused behind the door", ANY_BODY,
           test_another_body_under_a_key_is_422_through_the_door),
    Switch("a key is claimed by compare and set", put({"OrderPlacement._claim": claimed_by_looking}, GATEWAY),
           test_requests_of_one_key_that_are_under_way_together_are_one_order),
    Switch("a delivery is only ever created", put({"OrderPlacement._create": written_over}, GATEWAY),
           test_a_late_repetition_gets_the_first_answer_and_leaves_the_order_where_it_is),
    Switch("the door repeats keyed orders", put({"core.retry.KEYED_POSTS": frozenset()}),
           test_a_lost_answer_is_one_order_behind_the_door_and_the_client_hears_201),
    Switch("the door repeats keyed orders only", put({"core.request_life.why_no_other": always("")}),
           test_without_a_key_a_lost_answer_is_unknown_and_nothing_is_ordered_twice),
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("switch", RULES, ids=lambda switch: switch.name)
async def test_without_its_rule_a_test_turns_red(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    switch.off(monkeypatch)
    await must_turn_red(switch)
