"""Whether `scripts/bench chaos` may take a copy away: only while every slot has all of its own, by each replica's own word.

Who takes the last one has tried what two copies never promised: the run would end with slots that nobody can serve, and say
nothing of the system.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from loadtests.bench.running import Running

from dronedispatch.replication import view as views
from dronedispatch.replication.copies import Sighting, copies_of
from dronedispatch.replication.view import VIEW_KEY, View
from dronedispatch.runtime.consul import ConsulError
from dronedispatch.runtime.discovery import Endpoint


def why_not_take(view: View, seen: Mapping[str, Sighting]) -> str | None:
    """The reason why no copy may be taken, by what each replica has just answered. None: every slot can spare one."""
    copies = copies_of(view, {name: seen.get(name, Sighting(None)) for name in view.replicas})
    if copies.whole < copies.slots:
        return f"{copies.slots - copies.whole} slots lack a copy"
    if any(len(slot.assigned) < 2 for slot in view.slots):
        return "a slot has one copy only"
    return None


def why_not_destroy(view: View, name: str) -> str | None:
    """The reason why the disk of `name`, which has stopped, may not be destroyed; None: it is in sync for nothing."""
    held = [number for number, slot in enumerate(view.slots) if name in slot.in_sync]
    return f"{name} is still in sync for {len(held)} slots" if held else None


async def may_take(running: Running) -> str | None:
    """`why_not_take`, asked of Consul and of every replica. What does not answer is not there."""
    view = await _view(running)
    if view is None:
        return "the view cannot be read"
    seen = {}
    for name, replica in view.replicas.items():
        parts = urlsplit(replica.url)
        document = await running.health(Endpoint(name, parts.hostname or "", parts.port or 80))
        disk = None if document is None else document.get("disk")
        seen[name] = Sighting(disk if isinstance(disk, str) else None)
    return why_not_take(view, seen)


async def may_destroy(running: Running, name: str) -> str | None:
    """`why_not_destroy`, asked of Consul."""
    view = await _view(running)
    return "the view cannot be read" if view is None else why_not_destroy(view, name)


async def _view(running: Running) -> View | None:
    try:
        _, document, _ = await running.consul.kv_get(VIEW_KEY, consistent=True)
        return None if document is None else views.decode(document)
    except (ConsulError, ValueError):
        return None
