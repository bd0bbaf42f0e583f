"""Hints of the dispatcher: whose orders have changed."""

from __future__ import annotations

from collections.abc import Callable

from dronedispatch.fleet.documents import Unreadable, decode
from dronedispatch.fleet.messages import DroneOrdersChanged
from dronedispatch.runtime.amqp import Message, Undecodable


class Hints:
    """Collects hints. They are trusted to come while the subscription is up; a lost one costs `read_ticks` ticks."""

    def __init__(self, hint: Callable[[tuple[str, ...]], None]) -> None:
        self._hint = hint

    async def orders_changed(self, message: Message) -> None:
        """Raises Undecodable: to the dead letters, with the reason."""
        try:
            event = decode(DroneOrdersChanged, message.body)
        except Unreadable as exc:
            raise Undecodable(str(exc)) from exc
        self._hint(event.drone_ids)
