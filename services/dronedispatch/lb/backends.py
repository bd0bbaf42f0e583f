"""The pool of backends (gateways): who is in it, who is left out for now, how many requests each has."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable
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


class Backend:
    """One gateway as the load balancer sees it."""

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

    def __init__(
        self, endpoint: Endpoint, pool: Pool, record: ejection.EjectionRecord, since_s: float
    ) -> None:
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


class BackendPool:
    """Backends by id. `pick` is the hot path; everything that changes who may be picked calls `_rebuild`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._balancer: Balancer = (
            RoundRobin(settings.slow_start_s)
            if settings.balance == "round_robin"
            else LeastInFlight(settings.slow_start_s)
        )
        self.members: dict[str, Backend] = {}
        self.waiting: OrderedDict[Hashable, Callable[[], None]] = OrderedDict()  # who, and how it is told
        self.ejections = 0
        self._records: dict[str, ejection.EjectionRecord] = {}
        self._active: list[Backend] = []
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
        if not wanted and self.members:
            log.warning(
                "the catalogue has no gateway, the last table stays for now", gateways=len(self.members)
            )
            self._emptying = self._loop.call_later(self._settings.empty_grace_s, self._apply, wanted)
            return
        self._apply(wanted)

    def _apply(self, wanted: dict[str, Endpoint]) -> None:
        self._emptying = None
        for backend in list(self.members.values()):
            endpoint = wanted.get(backend.id)
            if endpoint is None or (endpoint.address, endpoint.port) != (backend.address, backend.port):
                del self.members[backend.id]
                backend.leaving = True
                backend.pool.close()
        now_s = self._loop.time()
        for endpoint in wanted.values():
            if endpoint.id not in self.members:
                self.members[endpoint.id] = self._join(endpoint, now_s)
        self._filled = self._filled or bool(self.members)
        self._rebuild(now_s)
        self._serve_waiting()

    def _join(self, endpoint: Endpoint, now_s: float) -> Backend:
        timeouts = self._settings.timeouts
        pool = Pool(
            endpoint.address,
            endpoint.port,
            connect_timeout_s=timeouts.connect_s,
            idle_timeout_s=timeouts.idle_s,
            prover=self._prover,
        )
        if len(self._records) > RECORDS_MAX:
            self._records = {id_: self._records[id_] for id_ in self.members}
        record = self._records.setdefault(endpoint.id, ejection.EjectionRecord())
        # The first table is not new to its gateways: only we are. Whoever joins later warms up.
        return Backend(endpoint, pool, record, now_s if self._filled else -math.inf)

    def _rebuild(self, now_s: float) -> None:
        everyone = list(self.members.values())
        self._active = [backend for backend in everyone if not backend.record.ejected(now_s)]
        if not self._active and everyone:  # those who joined were all ejected before: one must serve
            kept = min(everyone, key=lambda backend: backend.record.until_s)
            ejection.readmit(kept.record, now_s)
            self._active = [kept]
        slow_start_s = self._settings.slow_start_s
        warm_s = [backend.since_s + slow_start_s for backend in self._active]
        self._warming = any(at_s > now_s for at_s in warm_s)
        ends_s = [backend.record.until_s for backend in everyone if backend.record.ejected(now_s)]
        self._recheck_s = min([at_s for at_s in warm_s if at_s > now_s] + ends_s, default=math.inf)

    # --- the hot path ---

    def pick(self, tried: Collection[str], now_s: float) -> Backend | None:
        """A backend with room that was not tried, and one request more on its account; None if there is none."""
        if now_s >= self._recheck_s:
            self._rebuild(now_s)
        backend = self._balancer.pick(
            self._active, tried, self._settings.in_flight_max, now_s, warming=self._warming
        )
        if backend is not None:
            backend.in_flight += 1
            backend.requests += 1
        return backend

    def release(self, backend: Backend, *, streaming: bool = False) -> None:
        """The request is over there."""
        if streaming:
            backend.streams -= 1
            return
        backend.in_flight -= 1
        if self.waiting:
            self._serve_waiting()

    def became_stream(self, backend: Backend) -> None:
        """Its answer is an event stream, which lasts for hours: it gives its place among the requests to another."""
        backend.streams += 1
        self.release(backend)

    def has_untried(self, tried: Collection[str]) -> bool:
        """Whether there is anybody left to ask, be it later."""
        return any(backend.id not in tried for backend in self._active)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Who is in the table, those first that get requests."""
        now_s = self._loop.time()
        members = sorted(self.members.values(), key=lambda backend: backend.record.ejected(now_s))
        return tuple(Endpoint(one.id, one.address, one.port, {}) for one in members)

    def left_out(self) -> dict[str, str]:
        """Who gets no requests now, and its last failure."""
        now_s = self._loop.time()
        return {one.id: one.last_error for one in self.members.values() if one.record.ejected(now_s)}

    def _serve_waiting(self) -> None:
        for _ in range(len(self.waiting)):
            if not self.waiting or not any(
                backend.in_flight < self._settings.in_flight_max for backend in self._active
            ):
                return
            self.waiting.popitem(last=False)[1]()

    # --- what its answers say of a backend ---

    def succeeded(self, backend: Backend) -> None:
        record = backend.record
        if record.consecutive or record.on_probation or record.times:
            ejection.succeeded(record, self._loop.time())

    def failed(self, backend: Backend, *, hard: bool, reason: str) -> None:
        """Note a failure, and leave the backend out when that is due and possible."""
        backend.failures += 1
        backend.last_error = reason
        now_s = self._loop.time()
        if not ejection.failed(backend.record, now_s, hard=hard) or backend.leaving:
            return
        total = len(self.members)
        why_not = ejection.why_not_eject(total, total - len(self._active), hard=hard)
        if why_not is None:
            until_s = ejection.eject(backend.record, now_s)
            self.ejections += 1
            log.warning("gateway ejected", gateway=backend.id, seconds=round(until_s - now_s), reason=reason)
            self._rebuild(now_s)

    async def probe(self) -> str:
        """Ask every backend that was ejected for hard failures; who answers is in again, on probation."""
        now_s = self._loop.time()
        suspects = [one for one in self.members.values() if one.record.ejected(now_s) and one.record.hard]
        back = [backend for backend in suspects if await self._answers(backend)]
        for backend in back:
            if backend.id in self.members:
                now_s = self._loop.time()
                ejection.readmit(backend.record, now_s)
                backend.since_s = now_s
                self._rebuild(now_s)
        for backend in self.members.values():
            backend.pool.sweep()
        return f"{len(suspects)} ejected, {len(back)} back"

    async def _answers(self, backend: Backend) -> bool:
        """Any answer below 500 will do: a connect alone would bring back a process that accepts and hangs up."""
        try:
            answer = await self._prober.request(
                "GET", backend.address, backend.port, "/health?live=1", timeout_s=PROBE_TIMEOUT_S
            )
        except HttpError:
            return False
        return answer.status < 500

    async def close(self) -> None:
        if self._emptying is not None:
            self._emptying.cancel()
        for backend in self.members.values():
            backend.pool.close()
        await self._prober.close()
