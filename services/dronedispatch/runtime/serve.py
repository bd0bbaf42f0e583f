"""From a configured app to a running process and back: bind, start, register, serve, leave, drain, close.

A stop (SIGTERM), in this order: leave Consul, wait for the watchers' lag, run the `before_server_stop` listeners, close
the listener, answer what is in flight with `Connection: close`, run the `after_server_stop` listeners.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from typing import Any

import structlog
import uvloop
from sanic import Sanic
from sanic.application.state import ApplicationServerInfo
from sanic.http.constants import HTTP
from sanic.server import HttpProtocol

from dronedispatch.runtime import logs
from dronedispatch.runtime.addresses import host_port
from dronedispatch.runtime.consul import ConsulError, ServiceRegistration
from dronedispatch.runtime.fast_path import FastProtocol
from dronedispatch.runtime.loops import Loop, Tasks, end
from dronedispatch.runtime.settings import ProcessSettings
from dronedispatch.runtime.web import ServiceProcess

REGISTRATION_CHECK_S = 5.0

log = structlog.get_logger()


class CannotListen(Exception):
    """The port is taken or not ours to take; the message says which and what to do."""


def bind(settings: ProcessSettings) -> socket.socket:
    """The listening socket. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((settings.host, settings.port))
    except OSError as exc:
        sock.close()
        raise CannotListen(
            f"cannot listen on {host_port(settings.host, settings.port)}: {exc.strerror}; "
            "choose another port or stop what uses it"
        ) from exc
    sock.setblocking(False)
    return sock


def serve(app: Sanic[Any, Any]) -> None:
    """Run until SIGTERM or SIGINT; a second signal ends it at once. Exits 2 with one sentence if it cannot listen."""
    process: ServiceProcess = app.ctx.process
    try:
        sock = bind(process.settings)
    except CannotListen as exc:
        sys.stderr.write(f"{process.service}: {exc}\n")
        raise SystemExit(2) from exc
    process.port = sock.getsockname()[1]
    process.instance = process.settings.instance or f"{process.service}-{process.port}"
    logs.configure(process.service, process.instance, process.settings.log_level)
    uvloop.run(_live(app, process, sock))


async def _live(app: Sanic[Any, Any], process: ServiceProcess, sock: socket.socket) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    process.stop = stopping.set
    # Any: Sanic's AsyncioServer is untyped.
    server: Any = await app.create_server(
        sock=sock,
        protocol=FastProtocol if hasattr(app.ctx, "fast_path") else HttpProtocol,
        return_asyncio_server=True,
        access_log=False,
        backlog=1024,
        asyncio_server_kwargs={"start_serving": False},
    )
    # Sanic drops its empty Alt-Svc header only when it knows which versions it serves; create_server does not say.
    app.state.server_info.append(
        ApplicationServerInfo(settings={"version": HTTP.VERSION_1, "port": process.port})
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, stopping, number)
    tasks = Tasks(on_death=lambda _name: stopping.set())
    app.ctx.tasks = tasks
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    log.info("serving", address=process.address, port=process.port)
    registrar = register_again_and_again(process, tasks) if process.settings.registers_itself else None
    await stopping.wait()
    await _stop(server, process, tasks, registrar)


def _on_signal(stopping: asyncio.Event, number: int) -> None:
    if stopping.is_set():
        raise SystemExit(128 + number)
    log.info("stopping", signal=signal.Signals(number).name)
    stopping.set()


def registration_of(process: ServiceProcess) -> ServiceRegistration:
    """The entry in Consul; under Nomad the job's service block writes the same."""
    # Where /metrics answers, for Prometheus: not at a public port.
    meta = process.meta | {"metrics_port": str(process.port)}
    return ServiceRegistration(
        id=process.instance,
        name=process.service,
        address=process.address,
        port=process.public_port or process.port,
        meta=meta,
        check_port=process.port,
    )


def register_again_and_again(process: ServiceProcess, tasks: Tasks) -> asyncio.Task[None]:
    """Be in the catalogue until the returned task is cancelled."""
    registrar = Loop("register", lambda: _register(process), REGISTRATION_CHECK_S)
    return tasks.start("register", registrar.run())


async def _register(process: ServiceProcess) -> str:
    """Be in the catalogue: once at the start, and again when the agent has forgotten us (its disk was wiped).

    At the start an entry of our name proves nothing: it is the one that a killed predecessor left, with its port.
    """
    wanted = registration_of(process)
    if process.registered and wanted.id in await process.consul.agent_services():
        return "registered"
    await process.consul.register(wanted)
    process.registered = True
    log.info("registered", id=wanted.id, port=wanted.port)
    return "registered again"


async def _stop(
    server: Any, process: ServiceProcess, tasks: Tasks, registrar: asyncio.Task[None] | None
) -> None:
    process.draining = True
    settings = process.settings
    if registrar is not None:
        await end([registrar])  # or it would enter us again
        with contextlib.suppress(ConsulError, TimeoutError):  # Consul away: its check finds us gone
            async with asyncio.timeout(3.0):
                await process.consul.deregister(process.instance)
        await asyncio.sleep(settings.deregister_lag_s)
    try:
        await server.before_stop()
    except Exception as exc:  # what could not be handed over must not cut off what is being answered
        log.error("could not hand over, stopping all the same", error=repr(exc), exc_info=exc)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settings.drain_s
    server.server.close()
    while server.connections and loop.time() < deadline:
        for connection in list(server.connections):
            connection.close_if_idle()
        await asyncio.sleep(0.02)
    for connection in list(server.connections):
        connection.abort()
    await tasks.stop()
    await server.after_stop()
    await process.consul.close()
    log.info("stopped", cut=len(server.connections))
