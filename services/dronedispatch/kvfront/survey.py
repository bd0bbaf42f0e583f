"""What the replicas say of themselves, looked at every few seconds: the facts of the store's health."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import msgspec

from dronedispatch.replication.copies import Sighting, copies_of
from dronedispatch.replication.patience import ReplicaPatience
from dronedispatch.replication.view import View
from dronedispatch.replication.view_store import ViewStore
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.health import Copies, Reason, reasons_of
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import HttpError

TIMEOUT_S = 1.0
"""Longer where pings wait longer: a replica that is merely slow is not one that does not answer."""
MISSES_MAX = 2
"""A replica that was silent for so many looks does not answer: a single pause is no reason to say so."""


class _Answer(msgspec.Struct):
    disk: str = ""
    last_join: str = ""
    wall_s: float = 0.0
    reasons: list[dict[str, Any]] = []


class Survey:
    """Run `once` now and then; the newest answers are `copies()`, `clocks` and `told`."""

    def __init__(self, views: ViewStore, http: HttpClient, clock: Clock, patience: ReplicaPatience) -> None:
        self._views = views
        self._http = http
        self._clock = clock
        self._patience = patience
        self._misses: dict[str, int] = {}
        self.seen: dict[str, Sighting] = {}
        self.clocks: dict[str, float] = {}
        self._told: dict[str, tuple[Reason, ...]] = {}

    def copies(self) -> Copies | None:
        """How many copies the slots of the newest view have; None: there is no view."""
        view = self._views.cached
        return None if view is None else copies_of(view, self.seen)

    def told(self) -> list[Reason]:
        """What replicas say of their own disks; the name of the replica leads each sentence."""
        return [
            Reason(reason.kind, f"{name}: {reason.text}", reason.next)
            for name, reasons in sorted(self._told.items())
            for reason in reasons
            if reason.kind.startswith(("disk_", "map_", "copied_"))
        ]

    async def once(self) -> str:
        """Ask every replica of the view; says how many answered."""
        view = self._views.cached
        if view is None:
            return "there is no view"
        for name in set(self.seen) - set(view.replicas):
            self._forget(name)
        answered = await asyncio.gather(*(self._look(view, name) for name in view.replicas))
        return f"{sum(answered)} of {len(answered)} replicas answer"

    def _forget(self, name: str) -> None:
        for table in (self.seen, self.clocks, self._told, self._misses):
            table.pop(name, None)

    async def _look(self, view: View, name: str) -> bool:
        parts = urlsplit(view.replicas[name].url)
        asked_s = self._clock.wall_s()
        limit_s = max(TIMEOUT_S, self._patience.ping_s(self._clock.monotonic_s()))
        try:
            response = await self._http.request(
                "GET", parts.hostname or "", parts.port or 80, "/health", timeout_s=limit_s
            )
            answer = msgspec.json.decode(response.body, type=_Answer)
        except (HttpError, msgspec.MsgspecError):
            self._misses[name] = self._misses.get(name, 0) + 1
            if self._misses[name] >= MISSES_MAX:
                self._forget(name)
                self._misses[name] = MISSES_MAX
                self.seen[name] = Sighting(None)
            return False
        self._misses[name] = 0
        self.seen[name] = Sighting(answer.disk, answer.last_join)
        self._told[name] = reasons_of({"reasons": answer.reasons})
        if answer.wall_s:
            between_s = (asked_s + self._clock.wall_s()) / 2
            self.clocks[name] = answer.wall_s - between_s
        return True
