"""Creates the parts of a kvfront and ties them together."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from prometheus_client import Gauge
from sanic import Sanic

from dronedispatch.kv.http import server as http_server
from dronedispatch.kvfront import fast_path
from dronedispatch.kvfront.coordinator import Coordinator
from dronedispatch.kvfront.core.view_change import NOT_BOOTSTRAPPED
from dronedispatch.kvfront.disputes import Disputes
from dronedispatch.kvfront.loops import HintFlush, Sweep
from dronedispatch.kvfront.peers import Peers
from dronedispatch.kvfront.routes import add_routes
from dronedispatch.kvfront.settings import Settings
from dronedispatch.kvfront.survey import Survey
from dronedispatch.replication.driver import Driver
from dronedispatch.replication.effects import Note
from dronedispatch.replication.links import Links
from dronedispatch.replication.pings import ping_client
from dronedispatch.replication.view_store import ViewStore
from dronedispatch.runtime.clock import SystemClock
from dronedispatch.runtime.discovery import ServiceWatch
from dronedispatch.runtime.health import Facts
from dronedispatch.runtime.http.proof import prover
from dronedispatch.runtime.loops import Loop, Tasks
from dronedispatch.runtime.service import create_service
from dronedispatch.runtime.web import ServiceProcess

SERVICE = "kvfront"
BODY_BYTES_MAX = 16 * 1024 * 1024
DISPUTES_S = 60.0
"""Between two looks for disputes when none was begun."""

EPOCH = Gauge("dd_kvfront_epoch", "Epoch of the view that this coordinator uses")
UNDER = Gauge(
    "dd_kvfront_slots_under_replicated", "Slots with fewer replicas in sync than are assigned to them"
)
SLOTS = Gauge(
    "dd_kvfront_slots", "Slots by their copies: whole, fewer (one: just one of several), none", ["copies"]
)
RUNNING = Gauge("dd_kvfront_operations", "Operations under way")


class Front:
    """The parts of a running kvfront."""

    def __init__(self, settings: Settings, process: ServiceProcess) -> None:
        self.settings = settings
        self.clock = SystemClock()
        self._process = process
        token = settings.process.store_token
        self.http = ping_client(settings.process.service_secret, settings.ping_timeout_s)
        self.views = ViewStore(process.consul, probe_name=SERVICE)
        self.links = Links(
            self.http,
            token.value if token else "",
            self.clock,
            call_timeout_s=settings.call_timeout_s,
            call_timeout_most_s=settings.deadline_s / 2,
            ping_timeout_s=settings.ping_timeout_s,
            prover=prover(settings.process.service_secret),
        )
        self.coordinators = ServiceWatch(process.consul, SERVICE)
        self.disputes = Disputes(self.links.ping, self.clock, settings.disputed_s)
        self.peers = Peers(self.coordinators, self.http, token, self._opinion_timeout_s)
        self.driver = Driver(
            self.views, self.links, self.clock, second_opinion=self.peers.opinion, on_note=self._noted
        )
        self.coordinator = Coordinator(self.driver, self.clock, settings, self.why_not_ready)
        self.hint_flush = HintFlush(self.driver, self.http, token)
        self.sweep = Sweep(self.driver, settings.sweep_keys_max)
        self.survey = Survey(self.views, self.http, self.clock, self.links.patience)
        self._changed = asyncio.Event()
        self.views.on_change(lambda _view: self._changed.set())
        RUNNING.set_function(lambda: self.driver.running)
        for kind in ("whole", "fewer", "one", "none"):
            SLOTS.labels(kind).set_function(partial(self._slots, kind))
        UNDER.set_function(self._under_replicated)
        EPOCH.set_function(lambda: self.views.cached.epoch if self.views.cached else 0)

    def _opinion_timeout_s(self) -> float:
        """The peer pings as patiently as this one, and is as slow."""
        return max(self.settings.opinion_timeout_s, 2 * self.links.patience.ping_s(self.clock.monotonic_s()))

    def _slots(self, kind: str) -> int:
        copies = self.survey.copies()
        return 0 if copies is None else int(getattr(copies, kind))

    def _under_replicated(self) -> int:
        return self._slots("fewer") + self._slots("none")

    def facts(self) -> Facts:
        """See runtime/health.py."""
        return Facts(
            copies=self.survey.copies(),
            view_missing=self.views.missing,
            view_unreadable=self.views.unreadable,
            consul_away_s=self.views.watch.stale_s,
            clocks=self.survey.clocks,
            told=self.survey.told(),
        )

    def _noted(self, note: Note) -> None:
        if note.event == "peer_disagrees":
            self.disputes.begin(note.replica)

    def why_not_ready(self) -> str | None:
        """Why clients should go to another coordinator."""
        if self.views.cached is None:
            return self.views.unreadable or f"{NOT_BOOTSTRAPPED}: run `dronedispatch kvctl bootstrap`"
        if disputed := self.disputes.open():
            return f"another coordinator reaches {', '.join(disputed)}, this one does not"
        return None

    def health(self) -> dict[str, object]:
        """Members of the health document."""
        view, copies = self.views.cached, self.survey.copies()
        if view is None or copies is None:
            return {}
        return {
            "epoch": view.epoch,
            "operations": self.driver.running,
            "slots": {
                "whole": copies.whole,
                "fewer": copies.fewer,
                "one": copies.one,
                "none": copies.none,
            },
        }

    async def start(self, tasks: Tasks) -> None:
        """Everything in the background."""
        self.peers.instance = self._process.instance
        self.views.start()
        self.coordinators.start()
        settings = self.settings
        tasks.start("hint-flush", Loop("hint-flush", self.hint_flush.once, settings.hint_flush_s).run())
        tasks.start("survey", Loop("survey", self.survey.once, settings.survey_s, wake=self._changed).run())
        tasks.start(
            "disputes", Loop("disputes", self.disputes.once, DISPUTES_S, wake=self.disputes.wake).run()
        )
        tasks.start("sweep", Loop("sweep", self.sweep.once, settings.sweep_s, jitter=0.5).run())

    async def leave(self) -> None:
        """Any other coordinator does the same: there is nothing to hand over."""

    async def stop(self) -> None:
        """See Service."""
        await self.views.stop()
        await self.coordinators.stop()
        await self.driver.close()
        await self.links.close()
        await self.http.close()


def create_app(settings: Settings) -> Sanic[Any, Any]:
    """A kvfront, not yet serving."""
    app, opened = create_service(SERVICE, settings.process, lambda app: Front(settings, app.ctx.process))
    app.config.REQUEST_MAX_SIZE = BODY_BYTES_MAX
    http_server.add_routes(app, lambda: opened().coordinator)
    add_routes(app, lambda: opened().links)
    app.ctx.fast_path = fast_path.lane(
        lambda: opened().coordinator if opened.why_not_ready() is None else None,
        settings.process.store_token,
    )
    return app
