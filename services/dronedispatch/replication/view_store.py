"""The view as a process has it: one cached copy, watched in Consul, and the two operations on the original."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

import structlog

from dronedispatch.replication import view as views
from dronedispatch.replication.effects import Swap, ViewAt
from dronedispatch.replication.view import VIEW_KEY, View
from dronedispatch.runtime.consul import ConsulClient, ConsulError, ConsulRefused, ConsulUnavailable
from dronedispatch.runtime.discovery import KeyWatch

CONSUL_TIMEOUT_S = 2.0

log = structlog.get_logger()


class ViewStore:
    """`cached` is the newest view seen by whichever way; it only moves forward, except to another cluster's view."""

    def __init__(self, consul: ConsulClient, *, probe_name: str) -> None:
        self.cached: View | None = None
        self.unreadable: str | None = None
        self.watch = KeyWatch(consul, VIEW_KEY)
        self._consul = consul
        self._probe_key = f"dronedispatch/kv/probe/{probe_name}"
        self._callbacks: list[Callable[[View], None]] = []
        self._newer = asyncio.Event()

    def start(self) -> None:
        """Begin to watch."""
        self.watch.on_change(self._watched)
        self.watch.start()

    async def stop(self) -> None:
        """Stop to watch."""
        await self.watch.stop()

    def on_change(self, callback: Callable[[View], None]) -> None:
        """Call `callback` with every newer view (at once, when there is one already)."""
        self._callbacks.append(callback)
        if self.cached is not None:
            callback(self.cached)

    @property
    def missing(self) -> bool:
        """Consul has no view any more, though there was one."""
        return self.cached is not None and self.watch.seen.is_set() and self.watch.value[0] is None

    async def read(self) -> ViewAt | None:
        """The view as Consul's leader has it; None: Consul did not answer, or holds what is no view."""
        try:
            async with asyncio.timeout(CONSUL_TIMEOUT_S):
                _, document, index = await self._consul.kv_get(VIEW_KEY, consistent=True)
        except (ConsulError, TimeoutError):
            return None
        if document is None:
            self.unreadable = None
            return ViewAt(None, 0)
        view = self._decode(document)
        if view is None:
            return None
        self._take(view)
        return ViewAt(view, index)

    async def swap(self, view: View, index: int) -> Swap:
        """Put `view` in the place of the one that has ModifyIndex `index`."""
        try:
            async with asyncio.timeout(CONSUL_TIMEOUT_S):
                done = await self._consul.kv_put(VIEW_KEY, views.encode(view), cas=index)
        except (ConsulUnavailable, ConsulRefused):
            return Swap.UNAVAILABLE
        except (ConsulError, TimeoutError):
            return Swap.UNKNOWN
        if not done:
            return Swap.LOST
        log.info("view changed", epoch=view.epoch, by=view.by)
        self._take(view)
        return Swap.DONE

    async def wait_for(self, epoch: int, timeout_s: float) -> None:
        """Until the cached view's epoch is at least `epoch`, at most `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.cached is None or self.cached.epoch < epoch:
                    self._newer.clear()
                    await self._newer.wait()

    async def probe(self) -> bool:
        """Whether Consul has just carried out a write."""
        try:
            async with asyncio.timeout(CONSUL_TIMEOUT_S):
                return await self._consul.kv_put(self._probe_key, os.urandom(8).hex().encode())
        except (ConsulError, TimeoutError):
            return False

    def _watched(self, value: tuple[bytes | None, int]) -> None:
        document, _ = value
        if document is None:
            self.unreadable = None
        elif (view := self._decode(document)) is not None:
            self._take(view)

    def _decode(self, document: bytes) -> View | None:
        try:
            view = views.decode(document)
        except ValueError as error:
            if self.unreadable != str(error):
                log.error("the view in Consul cannot be read", error=str(error))
            self.unreadable = str(error)
            return None
        self.unreadable = None
        return view

    def _take(self, view: View) -> None:
        cached = self.cached
        if cached is not None and cached.cluster == view.cluster and view.epoch <= cached.epoch:
            return
        self.cached = view
        self._newer.set()
        for callback in self._callbacks:
            callback(view)
