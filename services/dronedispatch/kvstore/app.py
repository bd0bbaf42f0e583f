"""Creates the parts of a kvstore and ties them together."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import Gauge
from sanic import Sanic

from dronedispatch.kv.http import server as http_server
from dronedispatch.kvstore import fast_path
from dronedispatch.kvstore.committer import INLINE_FSYNC_S, Committer
from dronedispatch.kvstore.core.cache import AnswerCache
from dronedispatch.kvstore.disk import DamagedDisk, DiskRefused, fsync_s, open_disk
from dronedispatch.kvstore.engine import Bounds, Engine, FatalDisk
from dronedispatch.kvstore.local import LocalKV
from dronedispatch.kvstore.loops import Housekeeping
from dronedispatch.kvstore.membership import Membership, ReplicaDriver
from dronedispatch.kvstore.reachability import Reachability
from dronedispatch.kvstore.routes import add_routes
from dronedispatch.kvstore.set_aside import before_open, closed, set_aside
from dronedispatch.kvstore.settings import Settings
from dronedispatch.kvstore.txn import DiskFull, LmdbTxn
from dronedispatch.replication.calls import AnyCall, AnyReply
from dronedispatch.replication.links import Links
from dronedispatch.replication.pings import ping_client
from dronedispatch.replication.view_store import ViewStore
from dronedispatch.runtime.addresses import host_port
from dronedispatch.runtime.clock import SystemClock
from dronedispatch.runtime.discovery import ServiceWatch
from dronedispatch.runtime.health import Facts
from dronedispatch.runtime.http.proof import prover
from dronedispatch.runtime.loops import Loop, Tasks
from dronedispatch.runtime.service import create_service
from dronedispatch.runtime.web import ServiceProcess

SERVICE = "kvstore"
BODY_BYTES_MAX = 64 * 1024 * 1024
"""A batch of records; each of them has its own limit."""

log = structlog.get_logger()


def open_engine(settings: Settings, cache: AnswerCache, bounds: Bounds, *, threaded: bool) -> Engine:
    """The engine on the disk below `data_dir`; on a new one, if the files there cannot be read. Raises DiskRefused."""
    for attempt in range(2):
        try:
            disk = open_disk(settings.data_dir, settings.map_bytes)
            try:
                return Engine(disk, cache, bounds, threaded=threaded)
            except BaseException:
                disk.close()
                raise
        except DamagedDisk as error:
            if attempt:
                raise DiskRefused(f"{settings.data_dir}: a new data file is damaged, too: {error}") from error
            set_aside(settings.data_dir, str(error))
        except (FatalDisk, DiskFull) as error:
            raise DiskRefused(f"{settings.data_dir}: {error}") from error
    raise AssertionError("two attempts at most")


def prepare(path: Path) -> float:
    """Make the directory, and set aside what is damaged there; how long a sync takes. Raises DiskRefused."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        before_open(path)
        return fsync_s(path)
    except OSError as error:
        raise DiskRefused(
            f"{path}: {error.strerror or error}; a replica wants a directory that it can write"
        ) from error


class ReplicaServer:
    """The parts of a running kvstore. Opens the disk: make it in the process that will use it."""

    def __init__(self, settings: Settings, process: ServiceProcess) -> None:
        self.settings = settings
        clock = SystemClock()
        sync_s = prepare(settings.data_dir)
        threaded = settings.commit == "threaded" or (settings.commit == "auto" and sync_s >= INLINE_FSYNC_S)
        self.cache = AnswerCache(items_max=settings.cache_items_max, bytes_max=settings.cache_bytes_max)
        bounds = Bounds(settings.disk_reserve_bytes, settings.changes_max, settings.hint_bytes_max)
        self.engine = open_engine(settings, self.cache, bounds, threaded=threaded)
        disk = self.engine.disk
        self.name = settings.name or settings.process.instance or f"kvstore-{disk.disk[:8]}"
        self.committer = Committer(self.engine, clock)
        self.views = ViewStore(process.consul, probe_name=self.name)
        self.http = ping_client(settings.process.service_secret)
        token = settings.process.store_token
        self.links = Links(
            self.http,
            token.value if token else "",
            clock,
            call_timeout_s=settings.call_timeout_s,
            prover=prover(settings.process.service_secret),
        )
        self.coordinators = ServiceWatch(process.consul, "kvfront")
        reachability = Reachability(self.name, self.coordinators, self.http, token)
        self.driver = ReplicaDriver(self.views, self.links, clock, self.committer, reachability.reached)
        url = f"http://{host_port(process.address, process.port)}"
        self.membership = Membership(self.name, url, self.engine, self.committer, self.driver)
        self.housekeeping = Housekeeping(self.engine, self.committer, clock, settings.hint_age_max_s)
        self.local = LocalKV(self.name, disk.disk, self.committer, self.views, clock)
        process.meta |= {"name": self.name, "disk": disk.disk}
        log.info(
            "disk open", disk=disk.disk, fresh=disk.fresh, sync_ms=round(sync_s * 1000, 3), threaded=threaded,
            keys=self.engine.keys(), floor=self.engine.state.floor,
        )  # fmt: skip
        self._gauges()

    def _gauges(self) -> None:
        counters = self.cache.counters
        for name, read in {
            "cache_hits": lambda: counters.hits,
            "cache_misses": lambda: counters.misses,
            "cache_evictions": lambda: counters.evictions,
            "cache_writes": lambda: counters.writes,
            "cache_oversize": lambda: counters.oversize,
            "cache_items": lambda: len(self.cache),
            "cache_bytes": lambda: self.cache.bytes_now,
            "hint_bytes": lambda: self.engine.hint_bytes,
            "hints_dropped": lambda: self.engine.hints_dropped,
            "floor": lambda: self.engine.state.floor,
            "slots_joining": lambda: len(self.engine.state.joining),
        }.items():
            GAUGES[name].set_function(read)

    async def start(self, tasks: Tasks) -> None:
        """Everything in the background."""
        self.views.start()
        self.coordinators.start()
        membership = Loop(
            "membership", self.membership.once, self.settings.membership_s, wake=self.membership.wake
        )
        tasks.start("membership", membership.run())
        tasks.start("housekeeping", Loop("housekeeping", self.housekeeping.once, 1.0).run())
        tasks.start("hint-expiry", Loop("hint-expiry", self.housekeeping.expire, 30.0).run())

    def submit(self, calls: Sequence[AnyCall]) -> Awaitable[list[AnyReply]]:
        """See Committer.submit."""
        return self.committer.submit(calls)

    def commit(self, work: Callable[[LmdbTxn], int]) -> Awaitable[int]:
        """See Committer.run."""
        return self.committer.run(work)

    def why_not_ready(self) -> str | None:
        """It is assigned slots and answers for none of them: whoever rolls replicas had better wait."""
        view, disk = self.views.cached, self.engine.disk.disk
        if view is None or not any(self.name in slot.assigned for slot in view.slots):
            return None
        if view.in_sync_slots(self.name, disk):
            return None
        return f"in no set: {self.membership.last_join}"

    def _why_a_copy(self) -> str | None:
        was, view = self.engine.state.was, self.views.cached
        if not was or view is None or view.in_sync_slots(self.name, self.engine.disk.disk):
            return None
        return f"its files are a complete copy of disk {was}, made elsewhere: the view knows another disk"

    def facts(self) -> Facts:
        """See runtime/health.py."""
        map_used, disk_used = self.engine.used()
        return Facts(
            view_missing=self.views.missing,
            view_unreadable=self.views.unreadable,
            consul_away_s=self.views.watch.stale_s,
            no_room=self.engine.why_no_room(),
            copied_home=self._why_a_copy(),
            map_used=map_used,
            disk_used=disk_used,
        )

    def health(self) -> dict[str, object]:
        """See Service."""
        return {
            "name": self.name,
            "disk": self.engine.disk.disk,
            "last_join": self.membership.last_join,
        }

    def look_at_view(self) -> None:
        """Look at what is lacking now, not when the loop comes round."""
        self.membership.wake.set()

    def hand_over(self, slots: Sequence[int]) -> None:
        """See Membership.hand_over."""
        self.membership.hand_over(slots)

    async def leave(self) -> None:
        """Out of the sets, while the door is still open."""
        log.info("leaving", said=await self.membership.leave(self.settings.leave_linger_s))

    async def stop(self) -> None:
        """See Service."""
        await self.views.stop()
        await self.coordinators.stop()
        await self.driver.close()
        await self.links.close()
        await self.http.close()
        await self.committer.close()
        self.engine.close()
        closed(self.settings.data_dir)

    def state(self) -> dict[str, object]:
        """What `kvctl` asks every replica."""
        state, view, last = self.engine.state, self.views.cached, self.engine.last_view()
        return {
            "name": self.name,
            "disk": self.engine.disk.disk,
            "url": self.membership.url,
            "cluster": state.cluster,
            "floor": state.floor,
            "published": state.published,
            "joining": list(state.joining),
            "last_join": self.membership.last_join,
            "was": state.was,
            "epoch": 0 if view is None else view.epoch,
            "keys": self.engine.keys(),
            "hint_bytes": self.engine.hint_bytes,
            "last_view": None if last is None else base64.b64encode(last).decode(),
            "cache": {
                "items": len(self.cache),
                "bytes": self.cache.bytes_now,
                **{name: getattr(self.cache.counters, name) for name in self.cache.counters.__slots__},
            },
        }


GAUGES = {
    name: Gauge(f"dd_kvstore_{name}", text)
    for name, text in {
        "cache_hits": "Reads answered by the cache",
        "cache_misses": "Reads that went to LMDB",
        "cache_evictions": "Answers that had to go",
        "cache_writes": "Answers put into the cache by reads and writes",
        "cache_oversize": "Answers too large to be kept",
        "cache_items": "Answers kept",
        "cache_bytes": "Bytes of the answers kept",
        "hint_bytes": "Bytes kept for absent replicas",
        "hints_dropped": "Hints for which there was no room",
        "floor": "No request of an epoch below is carried out",
        "slots_joining": "Slots that are being filled",
    }.items()
}


def create_app(settings: Settings) -> Sanic[Any, Any]:
    """A kvstore, not yet serving; importing and creating touch no disk."""
    app, opened = create_service(
        SERVICE, settings.process, lambda app: ReplicaServer(settings, app.ctx.process)
    )
    app.config.REQUEST_MAX_SIZE = BODY_BYTES_MAX
    add_routes(app, opened)
    http_server.add_routes(app, lambda: opened().local)
    app.ctx.fast_path = fast_path.lane(lambda: opened().committer.begin, settings.process.store_token)
    return app
