from __future__ import annotations

import pytest

from support.live_orders import becomes_delivered, placed
from support.live_system import LiveSystem, eventually

pytestmark = pytest.mark.real


def test_with_rabbitmq_stopped_an_order_is_delivered_by_the_periodic_round(healthy: LiveSystem) -> None:
    healthy.supervise("stop", "rabbitmq")
    try:
        becomes_delivered(healthy, placed(healthy, seed=3))
        assert healthy.passing("rabbitmq") == []
    finally:
        healthy.supervise("start", "rabbitmq")
    eventually(lambda: healthy.passing("rabbitmq"), "RabbitMQ is back", 30)
