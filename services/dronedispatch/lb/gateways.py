"""The table of gateways: who is in it, who is left out for now, how many requests each has."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Final

import structlog

from dronedispatch.lb.core import ejection
from dronedispatch.lb.core.balance import Balancer, LeastInFlight, RoundRobin
from dronedispatch.lb.settings import Settings
from dronedispatch.runtime.discovery import Endpoint
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import HttpError
from dronedispatch.runtime.http.pool import Pool
from dronedispatch.runtime.http.proof import prover

PROBE_S: Final = 0.5
PROBE_TIMEOUT_S: Final = 1.0
RECORDS_MAX: Final = 1000

log = structlog.get_logger()


class Gateway:
    """One gateway as the door sees it."""

    __slots__ = (
        "address",
        "credit",
        "failures",
        "id",
        "in_flight",
        "last_error",
        "leaving",
        "pool",
        "port",
        "record",
        "requests",
        "since_s",
        "streams",
    )

    def __init__(self, endpoint: Endpoint, pool: Pool, record: ejection.Record, since_s: float) -> None:
        self.id = endpoint.id
        self.address = endpoint.address
        self.port = endpoint.port
        self.pool = pool
        self.record = record
        self.since_s = since_s
        self.credit = 0.0
        self.in_flight = 0
        self.streams = 0
        self.requests = 0
        self.failures = 0
        self.last_error = ""
        self.leaving = False


class Table:
    """Gateways by id. `pick` is the hot path; everything that changes who may be picked calls `_rebuild`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._balancer: Balancer = (
            RoundRobin(settings.slow_start_s)
            if settings.balance == "round_robin"
            else LeastInFlight(settings.slow_start_s)
        )
        self.gateways: dict[str, Gateway] = {}
        self.waiting: deque[Callable[[], None]] = deque()
        self.ejections = 0
        self._records: dict[str, ejection.Record] = {}
        self._active: list[Gateway] = []
        self._warming = False
        self._recheck_s = math.inf
        self._filled = False
        self._emptying: asyncio.TimerHandle | None = None
        self._prover = prover(settings.process.service_secret)
        self._prober = HttpClient(resend_on_reuse_reset=False, prover=self._prover)

    # --- who is in the table ---

    def replace(self, endpoints: Iterable[Endpoint]) -> None:
        """Take a new answer of the catalogue. An empty one counts only after `empty_grace_s`."""
        wanted = {endpoint.id: endpoint for endpoint in endpoints}
        if self._emptying is not None:
            self._emptying.cancel()
            self._emptying = None
        if not wanted and self.gateways:
            log.warning(
                "the catalogue has no gateway, the last table stays for now", gateways=len(self.gateways)
            )
            self._emptying = self._loop.call_later(self._settings.empty_grace_s, self._apply, wanted)
            return
        self._apply(wanted)

    def _apply(self, wanted: dict[str, Endpoint]) -> None:
        self._emptying = None
        for gateway in list(self.gateways.values()):
            endpoint = wanted.get(gateway.id)
            if endpoint is None or (endpoint.address, endpoint.port) != (gateway.address, gateway.port):
                del self.gateways[gateway.id]
                gateway.leaving = True
                gateway.pool.close()
        now_s = self._loop.time()
        for endpoint in wanted.values():
            if endpoint.id not in self.gateways:
                self.gateways[endpoint.id] = self._join(endpoint, now_s)
        self._filled = self._filled or bool(self.gateways)
        self._rebuild(now_s)
        self._serve_waiting()

    def _join(self, endpoint: Endpoint, now_s: float) -> Gateway:
        timeouts = self._settings.timeouts
        pool = Pool(
            endpoint.address,
            endpoint.port,
            connect_timeout_s=timeouts.connect_s,
            idle_timeout_s=timeouts.idle_s,
            prover=self._prover,
        )
        if len(self._records) > RECORDS_MAX:
            self._records = {id_: self._records[id_] for id_ in self.gateways}
        record = self._records.setdefault(endpoint.id, ejection.Record())
        # The first table is not new to its gateways: only we are. Whoever joins later warms up.
        return Gateway(endpoint, pool, record, now_s if self._filled else -math.inf)

    def _rebuild(self, now_s: float) -> None:
        everyone = list(self.gateways.values())
        self._active = [gateway for gateway in everyone if not gateway.record.ejected(now_s)]
        if not self._active and everyone:  # those who joined were all ejected before: one must serve
            kept = min(everyone, key=lambda gateway: gateway.record.until_s)
            ejection.readmit(kept.record, now_s)
            self._active = [kept]
        slow_start_s = self._settings.slow_start_s
        warm_s = [gateway.since_s + slow_start_s for gateway in self._active]
        self._warming = any(at_s > now_s for at_s in warm_s)
        ends_s = [gateway.record.until_s for gateway in everyone if gateway.record.ejected(now_s)]
        self._recheck_s = min([at_s for at_s in warm_s if at_s > now_s] + ends_s, default=math.inf)

    # --- the hot path ---

    def pick(self, tried: Collection[str], now_s: float) -> Gateway | None:
        """A gateway with room that was not tried, and one request more on its account; None if there is none."""
        if now_s >= self._recheck_s:
            self._rebuild(now_s)
        gateway = self._balancer.pick(
            self._active, tried, self._settings.in_flight_max, now_s, warming=self._warming
        )
        if gateway is not None:
            gateway.in_flight += 1
            gateway.requests += 1
        return gateway

    def release(self, gateway: Gateway, *, streaming: bool = False) -> None:
        """The request is over there."""
        if streaming:
            gateway.streams -= 1
            return
        gateway.in_flight -= 1
        if self.waiting:
            self._serve_waiting()

    def became_stream(self, gateway: Gateway) -> None:
        """Its answer is an event stream, which lasts for hours: it gives its place among the requests to another."""
        gateway.streams += 1
        self.release(gateway)

    def has_untried(self, tried: Collection[str]) -> bool:
        """Whether there is anybody left to ask, be it later."""
        return any(gateway.id not in tried for gateway in self._active)

    def _serve_waiting(self) -> None:
        for _ in range(len(self.waiting)):
            if not any(gateway.in_flight < self._settings.in_flight_max for gateway in self._active):
                return
            self.waiting.popleft()()

    # --- what its answers say of a gateway ---

    def succeeded(self, gateway: Gateway) -> None:
        record = gateway.record
        if record.consecutive or record.on_probation or record.times:
            ejection.succeeded(record, self._loop.time())

    def failed(self, gateway: Gateway, *, hard: bool, reason: str) -> None:
        """Note a failure, and leave the gateway out when that is due and possible."""
        gateway.failures += 1
        gateway.last_error = reason
        now_s = self._loop.time()
        if not ejection.failed(gateway.record, now_s, hard=hard) or gateway.leaving:
            return
        total = len(self.gateways)
        why_not = ejection.why_not_eject(total, total - len(self._active), hard=hard)
        if why_not is None:
            until_s = ejection.eject(gateway.record, now_s)
            self.ejections += 1
            log.warning("gateway ejected", gateway=gateway.id, seconds=round(until_s - now_s), reason=reason)
            self._rebuild(now_s)

    async def probe(self) -> str:
        """Ask every gateway that was ejected for hard failures; who answers is in again, on probation."""
        now_s = self._loop.time()
        suspects = [one for one in self.gateways.values() if one.record.ejected(now_s) and one.record.hard]
        back = [gateway for gateway in suspects if await self._answers(gateway)]
        for gateway in back:
            if gateway.id in self.gateways:
                now_s = self._loop.time()
                ejection.readmit(gateway.record, now_s)
                gateway.since_s = now_s
                self._rebuild(now_s)
        for gateway in self.gateways.values():
            gateway.pool.sweep()
        return f"{len(suspects)} ejected, {len(back)} back"

    async def _answers(self, gateway: Gateway) -> bool:
        """Any answer below 500 will do: a connect alone would bring back a process that accepts and hangs up."""
        try:
            answer = await self._prober.request(
                "GET", gateway.address, gateway.port, "/health?live=1", timeout_s=PROBE_TIMEOUT_S
            )
        except HttpError:
            return False
        return answer.status < 500

    async def close(self) -> None:
        if self._emptying is not None:
            self._emptying.cancel()
        for gateway in self.gateways.values():
            gateway.pool.close()
        await self._prober.close()
