"""For reference: what a Sanic handler with an aiohttp client costs as a proxy. No limit, no retry, no log."""

from __future__ import annotations

import asyncio
import socket
import sys
from itertools import cycle
from typing import Any

import aiohttp
import uvloop
from sanic import HTTPResponse, Request, Sanic
from sanic.response import raw

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD")


async def serve(port: int, upstreams: list[int]) -> None:
    app = Sanic("reference-proxy", configure_logging=False)
    app.config.ACCESS_LOG = False
    turn = cycle(upstreams)
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)

    @app.route("/<path:path>", methods=METHODS)
    async def proxy(request: Request, path: str) -> HTTPResponse:
        headers = {
            name: value for name, value in request.headers.items() if name not in ("host", "connection")
        }
        url = f"http://127.0.0.1:{next(turn)}/{path}"
        async with session.request(request.method, url, headers=headers, data=request.body or None) as answer:
            body = await answer.read()
            return raw(body, status=answer.status, content_type=answer.content_type)

    sock = socket.create_server(("127.0.0.1", port), backlog=1024)
    sock.setblocking(False)
    # Any: Sanic's AsyncioServer is untyped.
    server: Any = await app.create_server(sock=sock, return_asyncio_server=True, access_log=False)
    await server.startup()
    await server.serve_forever()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), [int(port) for port in sys.argv[2:]]))
