"""One of our Sanic apps served inside the test's own event loop, on a free port, without Consul."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sanic import Sanic
from sanic.application.state import ApplicationServerInfo
from sanic.http.constants import HTTP
from sanic.server import HttpProtocol

from dronedispatch.runtime.fast_path import FastProtocol


@asynccontextmanager
async def serving(app: Sanic[Any, Any]) -> AsyncIterator[int]:
    """Yields the port on 127.0.0.1 that `app` answers on; its start and stop listeners run."""
    app.config.TOUCHUP = (
        False  # Sanic rewrites its own source for the first app of a process, and cannot do it twice
    )
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        port: int = sock.getsockname()[1]
        server: Any = await app.create_server(
            sock=sock,
            protocol=FastProtocol if hasattr(app.ctx, "fast_path") else HttpProtocol,
            return_asyncio_server=True,
            access_log=False,
            asyncio_server_kwargs={"start_serving": False},
        )
        app.state.server_info.append(
            ApplicationServerInfo(settings={"version": HTTP.VERSION_1, "port": port})
        )
        await server.startup()
        await server.before_start()
        await server.start_serving()
        await server.after_start()
        try:
            yield port
        finally:
            await server.before_stop()
            if server.server is not None:
                server.server.close()
            for connection in list(server.connections):
                connection.abort()
            await server.after_stop()
