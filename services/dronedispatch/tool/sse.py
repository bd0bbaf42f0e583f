"""Server-sent events out of the lines of a stream (HTML standard, 9.2.6). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """`id`: "" for an event that cannot be resumed after."""

    name: str
    data: str
    id: str = ""


@dataclass(slots=True)
class EventParser:
    """Feed it lines without their ends. `last_id`: what to come back with."""

    last_id: str = ""
    _name: str = ""
    _id: str = ""
    _data: list[str] = field(default_factory=list)

    def line(self, text: str) -> Iterator[StreamEvent]:
        """The event that this line ends, if it ends one."""
        if text:
            self._field(text)
            return
        if self._data:
            yield StreamEvent(self._name or "message", "\n".join(self._data), self._id)
            self.last_id = self._id or self.last_id
        self._name, self._id, self._data = "", "", []

    def _field(self, text: str) -> None:
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
