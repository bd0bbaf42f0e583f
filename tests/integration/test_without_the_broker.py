from __future__ import annotations

import contextlib
import random

import pytest
from scripts.local import traffic

from dronedispatch.fleet.city import default_city
from support.live_system import LiveSystem, eventually

pytestmark = pytest.mark.real


def test_with_rabbitmq_stopped_an_order_is_delivered_by_the_periodic_round(healthy: LiveSystem) -> None:
    healthy.supervise("stop", "rabbitmq")
    try:
        with contextlib.closing(healthy.caller()) as caller:
            answer = caller.insist("POST", "/deliveries", traffic.order(default_city(), random.Random(3)))
        assert answer.status == 201, answer
        delivery_id = answer.document["id"]
        eventually(
            lambda: healthy.get(f"/deliveries/{delivery_id}")["status"] == "delivered", "it is delivered", 60
        )
        assert healthy.passing("rabbitmq") == []
    finally:
        healthy.supervise("start", "rabbitmq")
    eventually(lambda: healthy.passing("rabbitmq"), "RabbitMQ is back", 30)
