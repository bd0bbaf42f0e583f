"""The data plane's shared state: the table, the limits, the log, the counters, and who is connected."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Coroutine
from random import Random
from typing import TYPE_CHECKING, Any, Final

from dronedispatch.lb.access_log import AccessLog
from dronedispatch.lb.core.access import Access, Stamp, as_json, as_text
from dronedispatch.lb.core.buckets import Limiter
from dronedispatch.lb.core.crowd import Crowd
from dronedispatch.lb.core.identity import limiter_key
from dronedispatch.lb.core.retry import RetryBudget
from dronedispatch.lb.counters import Counters
from dronedispatch.lb.gateways import Table
from dronedispatch.lb.settings import Settings
from dronedispatch.runtime.clock import Clock, SystemClock

if TYPE_CHECKING:
    from dronedispatch.lb.downstream import Downstream
    from dronedispatch.lb.ending import Ending

TICK_S: Final = 0.1


class Door:
    """One of these a process. Deadlines are attributes, looked over ten times a second: a timer for each request
    costs more than the request's parsing, and a timeout of seconds may be late by a tenth.
    """

    def __init__(
        self,
        settings: Settings,
        table: Table,
        access_log: AccessLog | None,
        *,
        clock: Clock | None = None,
        rng: Random | None = None,
    ) -> None:
        self.settings = settings
        self.timeouts = settings.timeouts
        self.table = table
        self.access_log = access_log
        self.clock = clock or SystemClock()
        self.rng = rng or Random()
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time
        self.trusted = settings.networks()
        client_rate, global_rate = settings.client_rate(), settings.global_rate()
        self.limiter = Limiter(client_rate, global_rate) if client_rate or global_rate else None
        self._key_prefix = (
            settings.client_key_header.lower().encode() + b": " if settings.client_key_header else b""
        )
        self.budget = RetryBudget(share=settings.retry_share, floor=settings.retry_floor)
        self.counters = Counters()
        self.connections: set[Downstream] = set()
        self.crowd: Crowd[Downstream] = Crowd()
        self._tasks: set[asyncio.Task[None]] = set()
        self.draining = False
        self._empty = asyncio.Event()
        self._stamp = Stamp()
        self._line = as_json if settings.access_log_format == "json" else as_text
        self.body_bytes_max = settings.process.body_bytes_max
        self._id_prefix = secrets.token_hex(6).encode() + b"-"
        self._id_count = 0
        self._ticker = self.loop.call_later(TICK_S, self._tick)

    def date(self) -> bytes:
        """The value of a Date header, now."""
        return self._stamp.date(self.clock.wall_s())

    def request_id(self) -> bytes:
        """A new id, unique over processes and restarts."""
        self._id_count += 1
        return self._id_prefix + b"%x" % self._id_count

    def came(self, connection: Downstream) -> bool:
        """A client has connected; False when there is no room for it, and nobody who could make some."""
        self.connections.add(connection)
        self.crowd.came(connection, connection.party)
        self.counters.connections += 1
        if len(self.connections) <= self.settings.connections_max:
            return True
        idler = self.crowd.who_must_go(connection)
        if idler is None:
            return False
        self.counters.evicted += 1
        self.left(idler)
        idler.cut()
        return True

    def left(self, connection: Downstream) -> None:
        """A client's connection is over. Asked twice, it does nothing the second time."""
        if connection in self.connections:
            self.connections.discard(connection)
            self.crowd.left(connection, connection.party)
        if self.draining and not self.connections:
            self._empty.set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it; the set keeps it from being collected."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def admit(self, exchange: Ending, now_s: float) -> float:
        """0.0, or the seconds to wait until the limits let one more through. Settles who the client is."""
        assert self.limiter is not None
        address = exchange.address
        if self._key_prefix:
            for line in exchange.request.lines:
                if line.startswith(self._key_prefix):
                    return self.limiter.take(line.decode("latin-1"), now_s)
        return self.limiter.take(limiter_key(address) if ":" in address else address, now_s)

    def account(self, exchange: Ending) -> None:
        """Count it and write its line: once, at its end."""
        now_s = self.now()
        status = exchange.status or 499
        counters = self.counters
        counters.answered(status, now_s - exchange.began_s, exchange.ended)
        counters.bytes_in += exchange.bytes_in
        counters.bytes_out += exchange.bytes_out
        if self.access_log is not None:
            self.access_log.add(self._line(self._access(exchange, status, now_s)))

    def _access(self, exchange: Ending, status: int, now_s: float) -> Access:
        request, sent_s, response_s = exchange.request, exchange.sent_s, exchange.response_s
        connect_s = exchange.connect_s
        return Access(
            self._stamp.of(self.clock.wall_s()),
            exchange.address,
            f"{request.method.decode()} {request.target.decode()} HTTP/1.{request.minor}",
            status,
            exchange.bytes_in,
            exchange.bytes_out,
            int((exchange.head_s - exchange.began_s) * 1000),
            -1 if sent_s < 0 else int((sent_s - exchange.head_s - connect_s) * 1000),
            -1 if connect_s < 0 else int(connect_s * 1000),
            -1 if response_s < 0 else int((response_s - sent_s) * 1000),
            int((now_s - exchange.began_s) * 1000),
            exchange.gateway_id,
            exchange.tries,
            exchange.ended,
            request.request_id.decode(),
        )

    def note_refusal(self, address: str, line: str, status: int) -> None:
        """A head that was refused has no exchange, but a line and a place in the counters."""
        self.counters.answered(status, 0.0, "refused")
        if self.access_log is not None:
            stamp = self._stamp.of(self.clock.wall_s())
            self.access_log.add(
                self._line(Access(stamp, address, line, status, 0, 0, 0, -1, -1, -1, 0, "", 0, "refused", ""))
            )

    def _tick(self) -> None:
        now_s = self.now()
        for connection in [one for one in self.connections if one.deadline_s <= now_s]:
            connection.expired()
        self._ticker = self.loop.call_later(TICK_S, self._tick)

    def reopen_log(self) -> None:
        """SIGHUP: the access log's file was moved away."""
        if self.access_log is not None:
            self.access_log.reopen()

    async def drain(self, limit_s: float) -> int:
        """Answer what comes with `Connection: close`, and wait for the end of what is in flight.

        A connection that has been quiet for a second is closed; one that still sends gets its answer first. Returns
        how many were cut at the limit.
        """
        self.draining = True
        now_s = self.now()
        for connection in self.connections:
            if connection.exchange is None:
                connection.deadline_s = min(connection.deadline_s, now_s + min(1.0, limit_s / 2))
        if self.connections:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self._empty.wait()
        left = list(self.connections)
        for connection in left:
            connection.cut()
        return len(left)

    async def close(self) -> None:
        self._ticker.cancel()
        await self.table.close()
