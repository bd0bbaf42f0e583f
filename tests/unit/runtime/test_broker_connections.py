"""A process is connected when everything that it wants of the broker is, and only then."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from dronedispatch.runtime.broker_connections import BrokerConnections


def told(direction: str = "consume") -> float | None:
    """What the gauge says."""
    return REGISTRY.get_sample_value("dd_amqp_connected", {"direction": direction})


def ended(connections: BrokerConnections, how: BaseException, *, was_up: bool) -> None:
    """One that was wanted for a while. Raises `how`."""
    with connections.wanted("consume") as tell:
        tell(was_up)
        raise how


def test_a_connection_that_comes_up_does_not_hide_another_that_is_down() -> None:
    connections = BrokerConnections()
    with connections.wanted("consume") as one, connections.wanted("consume") as other:
        assert told() == 0.0
        one(True)
        assert told() == 0.0
        other(True)
        assert told() == 1.0
        one(False)
        other(True)
        assert told() == 0.0


@pytest.mark.parametrize("was_up", [True, False])
def test_one_that_is_taken_back_says_nothing_of_those_that_remain(was_up: bool) -> None:
    connections = BrokerConnections()
    with connections.wanted("consume") as remaining:
        remaining(True)
        with pytest.raises(asyncio.CancelledError):
            ended(connections, asyncio.CancelledError(), was_up=was_up)
        assert told() == 1.0
        remaining(False)
        assert told() == 0.0


def test_one_that_failed_for_good_is_still_missed() -> None:
    connections = BrokerConnections()
    with connections.wanted("consume") as remaining:
        with pytest.raises(ZeroDivisionError):
            ended(connections, ZeroDivisionError(), was_up=False)
        remaining(True)
        assert told() == 0.0


def test_each_direction_is_told_apart() -> None:
    connections = BrokerConnections()
    with connections.wanted("publish") as publishing, connections.wanted("consume") as consuming:
        publishing(True)
        consuming(False)
        assert (told("publish"), told("consume")) == (1.0, 0.0)
