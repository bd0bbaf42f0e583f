"""HTTP between our own services: one call, one whole answer, and an error that says whether it may have happened."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from dronedispatch.runtime.http.collector import Collector, HttpResponse
from dronedispatch.runtime.http.connection import Connection
from dronedispatch.runtime.http.errors import Broken, RequestNotSent, TimedOut
from dronedispatch.runtime.http.heads import request_head
from dronedispatch.runtime.http.pool import Pool
from dronedispatch.runtime.http.proof import Prover


class _Lane:
    """A pool with a bound: at most `connections_max` exchanges at a time, the rest wait their turn."""

    __slots__ = ("callers", "pool", "turn")

    def __init__(self, pool: Pool, connections_max: int) -> None:
        self.pool = pool
        self.callers = 0
        self.turn = asyncio.Semaphore(connections_max)


class HttpClient:
    """Kept connections to any number of endpoints, at most `connections_max` each.

    `resend_on_reuse_reset`: a request whose kept connection closes before any byte of an answer is written once more
    on a fresh connection. Right for reads and for requests that the peer deduplicates; wrong for the store's hops,
    where the first copy may have been applied: there only RequestNotSent is definite.
    `connect_apart`: a request's time begins anew when its new connection is there. Right where only a peer that is silent
    shall run out of it: one that has just proved itself is not.
    `prover`: each new connection's peer proves that it is one of our services first (else RequestNotSent).
    `tls`: every connection is encrypted, and its peer shows a certificate for the address that it was called by.
    Use it inside a running event loop only. `close()` when done.
    """

    def __init__(
        self,
        *,
        connect_timeout_s: float = 1.0,
        connect_apart: bool = False,
        idle_timeout_s: float = 60.0,
        connections_max: int = 64,
        resend_on_reuse_reset: bool,
        response_bytes_max: int = 64 * 1024 * 1024,
        prover: Prover | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._connect_apart = connect_apart
        self._idle_timeout_s = idle_timeout_s
        self._connections_max = connections_max
        self._resend = resend_on_reuse_reset
        self._response_bytes_max = response_bytes_max
        self._prover = prover
        self._tls = tls
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def request(
        self,
        method: str,
        address: str,
        port: int,
        target: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        timeout_s: float,
    ) -> HttpResponse:
        """Send one request and return the whole answer, whatever its status, within `timeout_s` (see `connect_apart`).

        Raises RequestNotSent (definite), Broken, Malformed or TimedOut (indefinite), ValueError for a head that cannot be
        written. Cancelling the call closes its connection.
        """
        lane = self._lane(address, port)
        data = request_head(method, lane.pool.peer, target, headers, len(body)) + body
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        lane.callers += 1
        try:
            await self._turn(lane, timeout_s)
            try:
                return await self._send(lane.pool, method, data, deadline_s, timeout_s)
            finally:
                lane.turn.release()
        finally:
            lane.callers -= 1

    async def close(self) -> None:
        """Close every idle connection; those in use close with their answer."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for lane in self._lanes.values():
            lane.pool.close()
        self._lanes.clear()

    @staticmethod
    async def _turn(lane: _Lane, timeout_s: float) -> None:
        if not lane.turn.locked():  # does not wait: no timer to pay for
            await lane.turn.acquire()
            return
        try:
            async with asyncio.timeout(timeout_s):
                await lane.turn.acquire()
        except TimeoutError as error:
            raise RequestNotSent(lane.pool.peer, "every connection was busy until the deadline") from error

    async def _send(
        self, pool: Pool, method: str, data: bytes, deadline_s: float, timeout_s: float
    ) -> HttpResponse:
        try:
            return await self._exchange(pool, pool.take(), method, data, deadline_s, timeout_s)
        except TimedOut:
            raise
        except Broken as error:
            if not (self._resend and error.looks_like_an_idle_close):
                raise
        return await self._exchange(pool, None, method, data, deadline_s, timeout_s)

    async def _exchange(
        self,
        pool: Pool,
        connection: Connection | None,
        method: str,
        data: bytes,
        deadline_s: float,
        timeout_s: float,
    ) -> HttpResponse:
        loop = asyncio.get_running_loop()
        if connection is None:
            connection = await pool.connect(max(0.0, deadline_s - loop.time()))
            if self._connect_apart:
                deadline_s = loop.time() + timeout_s
        collector = Collector(connection, loop.create_future(), self._response_bytes_max)
        timer = loop.call_at(deadline_s, collector.expire)
        try:
            connection.ask(collector, data, head_only=method == "HEAD")
            return await collector.done
        except asyncio.CancelledError:
            connection.drop()
            raise
        finally:
            timer.cancel()

    def _lane(self, address: str, port: int) -> _Lane:
        lane = self._lanes.get((address, port))
        if lane is None:
            assert not self._closed, "the client is closed"
            pool = Pool(
                address,
                port,
                connect_timeout_s=self._connect_timeout_s,
                idle_timeout_s=self._idle_timeout_s,
                prover=self._prover,
                tls=self._tls,
            )
            lane = self._lanes[address, port] = _Lane(pool, self._connections_max)
            self._arm_sweeper()
        return lane

    def _arm_sweeper(self) -> None:
        if self._sweeper is None and not self._closed:
            self._sweeper = asyncio.get_running_loop().call_later(self._idle_timeout_s / 2, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        for key, lane in list(self._lanes.items()):
            lane.pool.sweep()
            if lane.pool.open == 0 and lane.callers == 0:
                del self._lanes[key]  # an endpoint that moved away leaves nothing behind
        if self._lanes:
            self._arm_sweeper()
