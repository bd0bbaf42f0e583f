"""A gateway's manners without its work: deduplicates Idempotency-Key on a shared disk, takes a few ms, drains on SIGTERM.

`python -m loadtests.bench.lb_gateway_stub PORT DIRECTORY`. Each effect of a POST is one file; a key is made at most once.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from pathlib import Path
from random import Random

import uvloop

from dronedispatch.testing.peer import read_request

WORK_MAX_S = 0.008
DRAIN_S = 5.0


class Stub:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._rng = Random()
        self._busy: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while True:
                reading = asyncio.ensure_future(read_request(reader))
                await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():  # idle, and we are leaving
                    reading.cancel()
                    return
                answering = asyncio.ensure_future(self._respond(reading.result()[0], writer))
                self._busy.add(answering)
                answering.add_done_callback(self._busy.discard)
                await answering
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            stopping.cancel()
            writer.close()

    async def _respond(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self._rng.random() * WORK_MAX_S)
        writer.write(self._answer(head))
        await writer.drain()

    def _answer(self, head: bytes) -> bytes:
        close = b"connection: close\r\n" if self._stopping.is_set() else b""
        if not head.startswith(b"POST "):
            return b"HTTP/1.1 200 OK\r\n%bcontent-length: 2\r\n\r\nok" % close
        key = head.lower().partition(b"\r\nidempotency-key: ")[2].partition(b"\r\n")[0].decode()
        made = self._create(key or secrets.token_hex(8)).encode()
        return b"HTTP/1.1 201 Created\r\n%bcontent-length: %d\r\n\r\n%b" % (close, len(made), made)

    def _create(self, key: str) -> str:
        """The id that `key` stands for, made now unless it was made before: written aside, then linked, as a store's CAS."""
        path, aside = self._directory / key, self._directory / f".{key}.{os.getpid()}.{secrets.token_hex(4)}"
        aside.write_text(secrets.token_hex(8), encoding="ascii")
        try:
            os.link(aside, path)
        except FileExistsError:
            return path.read_text(encoding="ascii")
        finally:
            aside.unlink()
        return path.read_text(encoding="ascii")

    async def run(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        server = await asyncio.start_server(self.serve, "127.0.0.1", port, backlog=1024)
        await self._stopping.wait()
        server.close()
        end_s = loop.time() + DRAIN_S
        while self._busy and loop.time() < end_s:
            await asyncio.wait(self._busy, timeout=end_s - loop.time())


if __name__ == "__main__":
    uvloop.run(Stub(Path(sys.argv[2])).run(int(sys.argv[1])))
