"""Signs of life: pings that callers at the same time share, and roll calls of everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from dronedispatch.replication.effects import Pulse
from dronedispatch.replication.patience import PING_MOST, PING_S, ReplicaPatience
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import HttpError, RequestNotSent
from dronedispatch.runtime.http.proof import prover
from dronedispatch.runtime.settings import Secret


def ping_client(secret: Secret | None, ping_timeout_s: float = PING_S) -> HttpClient:
    """For pings, and for asking others who ping: connecting, proof included, may take as long as the longest of them."""
    return HttpClient(
        connect_timeout_s=PING_MOST * ping_timeout_s,
        connect_apart=True,
        resend_on_reuse_reset=False,
        prover=prover(secret),
    )


class Pings:
    """Asks replicas at their addresses, each as long as `patience` says."""

    def __init__(self, http: HttpClient, clock: Clock, patience: ReplicaPatience) -> None:
        self._http = http
        self._clock = clock
        self._patience = patience
        self._addresses: dict[str, tuple[str, int]] = {}
        self._under_way: dict[str, asyncio.Task[Pulse]] = {}

    def follow(self, addresses: dict[str, tuple[str, int]]) -> None:
        """The replicas are at `addresses` from now on."""
        self._addresses = addresses

    async def ping(self, name: str) -> Pulse:
        """A sign of life of `name`."""
        address = self._addresses.get(name)
        if address is None:
            return Pulse.SILENT
        task = self._under_way.get(name)
        if task is None:
            task = self._under_way[name] = asyncio.create_task(self._ask(*address))
            task.add_done_callback(lambda _done: self._under_way.pop(name, None))
        return await asyncio.shield(task)

    async def roll_call(self, names: Collection[str]) -> dict[str, Pulse]:
        """A sign of life of each of `names`, asked at once. Where nobody gives one, slowness is the likelier cause."""
        limit_s = self._patience.ping_s(self._clock.monotonic_s())
        pulses = dict(zip(names, await asyncio.gather(*map(self.ping, names)), strict=True))
        if pulses and not {Pulse.ALIVE, Pulse.REFUSED} & set(pulses.values()):
            self._patience.nobody(self._clock.monotonic_s(), limit_s)
        return pulses

    async def _ask(self, address: str, port: int) -> Pulse:
        since_s = self._clock.monotonic_s()
        limit_s = self._patience.ping_s(since_s)
        try:
            await self._http.request("GET", address, port, "/health?live=1", timeout_s=limit_s)
        except HttpError as error:
            if isinstance(error, RequestNotSent) and isinstance(error.__cause__, ConnectionRefusedError):
                return Pulse.REFUSED
            now_s = self._clock.monotonic_s()
            return self._patience.silence(now_s, limit_s, now_s - since_s)
        now_s = self._clock.monotonic_s()
        self._patience.took(now_s, now_s - since_s)
        return Pulse.ALIVE
