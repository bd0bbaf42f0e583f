"""The door put together: a control plane of Sanic, a data plane below it, one loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any, Final

import structlog
from prometheus_client import REGISTRY
from sanic import Sanic

from dronedispatch.lb.access_log import AccessLog
from dronedispatch.lb.accounting import Accounting
from dronedispatch.lb.admission import Admission
from dronedispatch.lb.backends import PROBE_S, BackendPool
from dronedispatch.lb.connections import Connections
from dronedispatch.lb.core.retry import RetryBudget
from dronedispatch.lb.deadlines import Deadlines
from dronedispatch.lb.downstream import Downstream
from dronedispatch.lb.listener import allow_descriptors, open_listener
from dronedispatch.lb.metrics import ProxyCollector
from dronedispatch.lb.proxy_core import ProxyCore
from dronedispatch.lb.routes import add_routes
from dronedispatch.lb.settings import Settings
from dronedispatch.lb.tls import RELOAD_S, Certificate
from dronedispatch.runtime.clock import Clock, SystemClock
from dronedispatch.runtime.discovery import ServiceWatch
from dronedispatch.runtime.health import Facts
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.proof import prover
from dronedispatch.runtime.loops import Loop, Tasks
from dronedispatch.runtime.neighbour_health import NeighbourHealth
from dronedispatch.runtime.serve import CannotListen
from dronedispatch.runtime.service import create_service
from dronedispatch.runtime.web import ServiceProcess

SERVICE: Final = "lb"
FIRST_TABLE_S: Final = 2.0  # how long the door stays shut for Consul's first answer

log = structlog.get_logger()


def compose(
    settings: Settings,
    backends: BackendPool,
    access_log: AccessLog | None,
    *,
    clock: Clock | None = None,
    rng: Random | None = None,
) -> ProxyCore:
    """The data plane in the running loop, its deadlines ticking. Whoever listens makes a `Downstream` of each client."""
    loop = asyncio.get_running_loop()
    books = Accounting(
        clock or SystemClock(), access_log, json=settings.access_log_format == "json", now_s=loop.time()
    )
    connections = Connections(books, at_most=settings.connections_max)
    return ProxyCore(
        settings=settings,
        timeouts=settings.timeouts,
        body_bytes_max=settings.process.body_bytes_max,
        backends=backends,
        admission=Admission(settings),
        books=books,
        connections=connections,
        deadlines=Deadlines(connections, books.tick),
        budget=RetryBudget(share=settings.retry_share, floor=settings.retry_floor),
        trusted=settings.networks(),
        loop=loop,
        now=loop.time,
        rng=rng or Random(),
    )


def _open_log(path: str) -> AccessLog | None:
    """Raises CannotListen."""
    try:
        return AccessLog(path) if path else None
    except OSError as error:
        raise CannotListen(
            f"LB_ACCESS_LOG={path}: {error.strerror}; name a file in a folder that this user may write to"
        ) from error


class DataPlane:
    """The data plane between the start and the stop of the process. `core` exists while it is open."""

    def __init__(self, settings: Settings, process: ServiceProcess, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._process = process
        self._fixed = settings.fixed_gateways()
        # Opened before anything runs: a taken port must be one sentence at the start, not a half-open process.
        self._access_log = _open_log(settings.access_log)
        self._certificate = Certificate(settings.tls_cert, settings.tls_key) if settings.tls_cert else None
        self._sock: socket.socket = open_listener(settings, environ)
        wanted = 2 * settings.connections_max + 256  # each client may have a connection to a gateway
        allowed = allow_descriptors(wanted)
        if allowed < wanted:
            log.warning("too few open files are allowed for connections_max", allowed=allowed, wanted=wanted)
        process.public_port = self._sock.getsockname()[1]
        self._watch: ServiceWatch | None = None
        self._http: HttpClient | None = None
        self._gateways: NeighbourHealth | None = None
        self._server: asyncio.Server | None = None
        self._collector: ProxyCollector | None = None
        self.core: ProxyCore | None = None

    def why_not_ready(self) -> str | None:
        """Consul has not answered for long, or knows no gateway."""
        core, watch = self.core, self._watch
        if core is None:
            return "the data plane is not open"
        if watch is not None:
            if not watch.seen.is_set():
                return "no answer of Consul yet"
            if watch.stale_s > self._settings.stale_max_s:
                return f"the table is {watch.stale_s:.0f} s old"
        return None if core.backends.members else "no gateway"

    def facts(self) -> Facts:
        """See runtime/health.py."""
        core, gateways = self.core, self._gateways
        return Facts(
            consul_away_s=self._watch.stale_s if self._watch is not None else 0.0,
            gateways_away_s=gateways.away_s if gateways is not None else 0.0,
            gateways_out=core.backends.left_out() if core is not None else None,
            told=gateways.reasons if gateways is not None else (),
        )

    def health(self) -> dict[str, object]:
        """See Service."""
        core, watch = self.core, self._watch
        return {
            "public_port": self._process.public_port,
            "gateways": len(core.backends.members) if core is not None else 0,
            "table_stale_s": round(watch.stale_s, 1) if watch is not None else 0.0,
        }

    async def start(self, tasks: Tasks) -> None:
        """Open the door."""
        settings = self._settings
        backends = BackendPool(settings)
        core = self.core = compose(settings, backends, self._access_log)
        if self._fixed:
            backends.replace(self._fixed)
        else:
            self._watch = ServiceWatch(self._process.consul, "gateway")
            self._watch.on_change(backends.replace)
            self._watch.start()
            # Who connects meanwhile waits in the listening socket's queue instead of hearing 503 from an empty table.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_TABLE_S):
                    await self._watch.seen.wait()
        self._http = HttpClient(resend_on_reuse_reset=True, prover=prover(settings.process.service_secret))
        self._gateways = NeighbourHealth(lambda: backends.endpoints, self._http, SystemClock())
        tasks.start("gateway-health", self._gateways.loop().run())
        tasks.start("probe", Loop("probe", backends.probe, PROBE_S).run())
        self._collector = ProxyCollector(core)
        REGISTRY.register(self._collector)
        core.loop.add_signal_handler(signal.SIGHUP, core.books.reopen_log)
        certificate = self._certificate
        self._server = await core.loop.create_server(
            lambda: Downstream(core),
            sock=self._sock,
            backlog=settings.backlog,
            ssl=certificate.context if certificate else None,
            ssl_handshake_timeout=settings.timeouts.head_s if certificate else None,
        )
        if certificate is not None:
            tasks.start("certificate", Loop("certificate", certificate.once, RELOAD_S).run())
        log.info(
            "door open", port=self._process.public_port, pid=os.getpid(), fixed_gateways=len(self._fixed)
        )

    async def leave(self) -> None:
        """Take no new connection (another holder of the socket does), finish what is in flight, close."""
        if self._server is not None:
            self._server.close()
        if self._watch is not None:
            await self._watch.stop()
        core = self.core
        if core is not None:
            cut = await core.connections.drain(self._settings.process.drain_s)
            await core.close()
            if core.books.access_log is not None:
                core.books.access_log.close()
            log.info("door closed", cut=cut)
        if self._http is not None:
            await self._http.close()
        if self._collector is not None:
            REGISTRY.unregister(self._collector)

    async def stop(self) -> None:
        """The control plane holds nothing of its own."""


def create_app(settings: Settings, environ: Mapping[str, str] | None = None) -> Sanic[Any, Any]:
    """The control plane, which opens and closes the data plane. Raises CannotListen for the public port."""
    control = replace(settings.process, port=settings.control_port)
    app, opened = create_service(
        SERVICE, control, lambda app: DataPlane(settings, app.ctx.process, environ or {}), at_once=True
    )
    add_routes(app, lambda: opened().core)
    return app
