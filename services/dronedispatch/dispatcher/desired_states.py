"""What operators want of drones: carried out by the one writer of `drone:<id>`, then deleted."""

from __future__ import annotations

import msgspec
import structlog

from dronedispatch.dispatcher.core.state_cache import StateCache
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
    done: list[str] = []
    for drone_id, desired in cache.desired_states.items():
        stored = cache.drones.get(drone_id)
        if stored is None:
            continue
        decommissioned = desired.record.wanted is Wanted.DECOMMISSIONED
        if stored.record.decommissioned == decommissioned:
            done.append(drone_id)
            continue
        after = msgspec.structs.replace(stored.record, decommissioned=decommissioned)
        marked[drone_id] = after
        ops.append(Cas(drone_key(drone_id), stored.version, encode(after), tags=drone_tags(after)))
    if ops:
        for drone_id, result in zip(marked, await kv.batch(ops), strict=True):
            if isinstance(result, Version):
                cache.put_drone(marked[drone_id], result)
                log.info(
                    "desired state reached",
                    drone=drone_id,
                    wanted=cache.desired_states[drone_id].record.wanted,
                )
                done.append(drone_id)
            elif isinstance(result, VersionConflict) and result.current is not None:
                cache.take(result.current, 0.0)
    await _delete(cache, kv, done)
    return len(done)


async def _delete(cache: StateCache, kv: KVClient, drone_ids: list[str]) -> None:
    if not drone_ids:
        return
    ops: list[Op] = [
        Delete(desired_state_key(name), cache.desired_states[name].version) for name in drone_ids
    ]
    for name, result in zip(drone_ids, await kv.batch(ops), strict=True):
        if isinstance(result, VersionConflict) and result.current is not None:
            cache.take(result.current, 0.0)
        elif not isinstance(result, KVError) or isinstance(result, VersionConflict):
            cache.forget(desired_state_key(name))
