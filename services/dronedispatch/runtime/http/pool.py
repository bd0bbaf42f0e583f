"""The kept connections to one endpoint."""

from __future__ import annotations

import asyncio
import ssl

from dronedispatch.runtime.addresses import host_port
from dronedispatch.runtime.http.collector import Collector
from dronedispatch.runtime.http.connection import Connection
from dronedispatch.runtime.http.errors import Broken, RequestNotSent
from dronedispatch.runtime.http.heads import request_head
from dronedispatch.runtime.http.proof import ANSWER_BYTES_MAX, Prover


class _Anteroom:
    """The home of a connection that has not proved itself: between its exchanges nobody may take it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def opened(self, connection: Connection) -> None:
        self._pool.opened(connection)

    def idle(self, connection: Connection) -> None:
        """Whoever asked for the proof has it in hand."""

    def gone(self, connection: Connection) -> None:
        self._pool.gone(connection)


class Pool:
    """Idle connections are reused newest first, so a burst's surplus grows old and is closed.

    `idle_timeout_s` must be shorter than the peer's keep-alive, or we would write on connections it just closed.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        connect_timeout_s: float,
        idle_timeout_s: float,
        prover: Prover | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address = address
        self.port = port
        self.peer = host_port(address, port)
        self.open = 0
        self._connect_timeout_s = connect_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._idle: list[Connection] = []
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._prover = prover
        self._tls = tls

    @property
    def idle_count(self) -> int:
        return len(self._idle)

    def take(self, now_s: float | None = None) -> Connection | None:
        """The connection used last, if one is idle and young enough. `now_s`: the loop's time, where it is known."""
        idle = self._idle
        if now_s is None:
            now_s = self._loop.time()
        while idle:
            connection = idle.pop()
            if connection.transport.is_closing():
                continue
            if now_s - connection.idle_since_s <= self._idle_timeout_s:
                return connection
            connection.transport.close()
        return None

    async def connect(self, timeout_s: float | None = None) -> Connection:
        """A new connection, within `timeout_s` (at most the pool's connect timeout). Raises RequestNotSent."""
        limit_s = self._connect_timeout_s if timeout_s is None else min(timeout_s, self._connect_timeout_s)
        try:
            async with asyncio.timeout(limit_s):
                home = self if self._prover is None else _Anteroom(self)
                _, connection = await self._loop.create_connection(
                    lambda: Connection(home, self.peer), self.address, self.port, ssl=self._tls
                )
                if self._prover is not None:
                    await self._let_prove(connection, self._prover)
                    connection.home = self
        except TimeoutError as error:
            raise RequestNotSent(self.peer, f"no connection within {limit_s:.3g} s") from error
        except OSError as error:
            raise RequestNotSent(self.peer, f"connect failed: {error.strerror or error}") from error
        except ValueError as error:
            raise RequestNotSent(self.peer, f"no host has such a name: {error}") from error
        return connection

    async def _let_prove(self, connection: Connection, prover: Prover) -> None:
        """The first exchange of a connection. Raises RequestNotSent: who cannot prove itself is told nothing."""
        question = prover.question()
        collector = Collector(connection, self._loop.create_future(), ANSWER_BYTES_MAX)
        request = request_head("GET", self.peer, question.target, (), 0)
        try:
            connection.ask(collector, request, head_only=False)
            answer = await collector.done
        except Broken as error:
            raise RequestNotSent(
                self.peer, f"it did not prove that it is a service of ours: {error.reason}"
            ) from error
        except asyncio.CancelledError:
            connection.drop()
            raise
        peer = connection.transport.get_extra_info("peername")
        why_not = prover.why_not(question, peer, answer.status, answer.body)
        if why_not is not None or connection.transport.is_closing():
            connection.transport.abort()
            raise RequestNotSent(
                self.peer, f"it did not prove that it is a service of ours: {why_not or 'it hung up'}"
            )

    def sweep(self) -> None:
        """Close what has been idle too long. The oldest is first: each is put back at the end."""
        limit_s = self._loop.time() - self._idle_timeout_s
        while self._idle and self._idle[0].idle_since_s < limit_s:
            self._idle.pop(0).transport.close()

    def close_idle(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().transport.close()

    def close(self) -> None:
        """Close the idle connections now, and each busy one when its response is complete."""
        self._closed = True
        self.close_idle()

    # --- Home ---

    def opened(self, connection: Connection) -> None:
        self.open += 1

    def idle(self, connection: Connection) -> None:
        if self._closed:
            connection.transport.close()
            return
        connection.idle_since_s = self._loop.time()
        self._idle.append(connection)

    def gone(self, connection: Connection) -> None:
        self.open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
