"""What operators want of drones: carried out by the one writer of `drone:<id>`, then deleted."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import structlog

from dronedispatch.dispatcher.core.state_cache import StateCache, StoredDesiredState
from dronedispatch.fleet.dispatch_state import Wanted
from dronedispatch.fleet.documents import desired_state_key, drone_key, encode
from dronedispatch.fleet.drones import Drone, drone_tags
from dronedispatch.kv.client import Cas, Delete, KVClient, Op
from dronedispatch.kv.errors import KVError, VersionConflict
from dronedispatch.kv.version import Version

log = structlog.get_logger()


async def apply_desired_states(cache: StateCache, kv: KVClient) -> int:
    """Mark the drones; the rounds then retire or wake them. Returns how many came true.

    One for a drone that is not in the cache waits. Deleting guards its version, so that a newer one of the
    same drone is not lost; carrying one out twice changes nothing.
    """
    marked: dict[str, Drone] = {}
    ops: list[Cas] = []
    done: dict[str, StoredDesiredState] = {}
    wanted = dict(cache.desired_states)  # a scan may put newer ones there while this one writes
    for drone_id, desired in wanted.items():
        stored = cache.drones.get(drone_id)
        if stored is None:
            continue
        decommissioned = desired.record.wanted is Wanted.DECOMMISSIONED
        if stored.record.decommissioned == decommissioned:
            done[drone_id] = desired
            continue
        after = msgspec.structs.replace(stored.record, decommissioned=decommissioned)
        marked[drone_id] = after
        ops.append(Cas(drone_key(drone_id), stored.version, encode(after), tags=drone_tags(after)))
    if ops:
        for drone_id, result in zip(marked, await kv.batch(ops), strict=True):
            if isinstance(result, Version):
                cache.put_drone(marked[drone_id], result)
                log.info("desired state reached", drone=drone_id, wanted=wanted[drone_id].record.wanted)
                done[drone_id] = wanted[drone_id]
            elif isinstance(result, VersionConflict) and result.current is not None:
                cache.take(result.current, 0.0)
    await _delete(cache, kv, done)
    return len(done)


async def _delete(cache: StateCache, kv: KVClient, done: Mapping[str, StoredDesiredState]) -> None:
    if not done:
        return
    ops: list[Op] = [Delete(desired_state_key(name), desired.version) for name, desired in done.items()]
    for (name, desired), result in zip(done.items(), await kv.batch(ops), strict=True):
        if isinstance(result, VersionConflict) and result.current is not None:
            cache.take(result.current, 0.0)
            continue
        known = cache.desired_states.get(name)
        gone = isinstance(result, VersionConflict) or not isinstance(result, KVError)
        if gone and known is not None and known.version == desired.version:
            cache.forget(desired_state_key(name))
