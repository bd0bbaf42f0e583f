"""A service of ours on a slow machine: it proves itself and answers, each after its time."""

from __future__ import annotations

import asyncio

from dronedispatch.runtime.http.proof import prove
from dronedispatch.runtime.settings import Secret
from support.virtual_time import pass_time

SECRET = Secret("ours")


class SlowService:
    """A script of dronedispatch.testing.peer: each answer takes `takes_s`. It stands still while `runs` is not set."""

    def __init__(self, takes_s: float, body: bytes = b"{}") -> None:
        self.takes_s = takes_s
        self.body = body
        self.runs = asyncio.Event()
        self.runs.set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await self.runs.wait()
            await pass_time(self.takes_s)
            body = self.body
            if nonce := head.partition(b"nonce=")[2].partition(b" ")[0].decode():
                body = prove(SECRET.value, nonce, *writer.get_extra_info("sockname")).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
