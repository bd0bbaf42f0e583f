"""Operators' wishes for drones: carried out by the one writer of `drone:<id>`, then deleted."""

from __future__ import annotations

import msgspec
import structlog

from dronedispatch.dispatcher.picture import Picture
from dronedispatch.fleet.dispatch_state import Wanted
from dronedispatch.fleet.documents import drone_key, encode, wish_key
from dronedispatch.fleet.drones import Drone, drone_tags
from dronedispatch.kv.client import Cas, Delete, KVClient, Op
from dronedispatch.kv.errors import KVError, VersionConflict
from dronedispatch.kv.version import Version

log = structlog.get_logger()


async def carry_out_wishes(picture: Picture, kv: KVClient) -> int:
    """Mark the drones; the rounds then retire or wake them. Returns how many wishes came true.

    A wish for a drone that is not in the picture waits. Deleting guards the wish's version, so that a newer wish of the
    same drone is not lost; carrying one out twice changes nothing.
    """
    marked: dict[str, Drone] = {}
    ops: list[Cas] = []
    done: list[str] = []
    for drone_id, wish in picture.wishes.items():
        stored = picture.drones.get(drone_id)
        if stored is None:
            continue
        decommissioned = wish.record.wanted is Wanted.DECOMMISSIONED
        if stored.record.decommissioned == decommissioned:
            done.append(drone_id)
            continue
        after = msgspec.structs.replace(stored.record, decommissioned=decommissioned)
        marked[drone_id] = after
        ops.append(Cas(drone_key(drone_id), stored.version, encode(after), tags=drone_tags(after)))
    if ops:
        for drone_id, result in zip(marked, await kv.batch(ops), strict=True):
            if isinstance(result, Version):
                picture.put_drone(marked[drone_id], result)
                log.info("wish carried out", drone=drone_id, wanted=picture.wishes[drone_id].record.wanted)
                done.append(drone_id)
            elif isinstance(result, VersionConflict) and result.current is not None:
                picture.take(result.current, 0.0)
    await _delete(picture, kv, done)
    return len(done)


async def _delete(picture: Picture, kv: KVClient, drone_ids: list[str]) -> None:
    if not drone_ids:
        return
    ops: list[Op] = [Delete(wish_key(name), picture.wishes[name].version) for name in drone_ids]
    for name, result in zip(drone_ids, await kv.batch(ops), strict=True):
        if isinstance(result, VersionConflict) and result.current is not None:
            picture.take(result.current, 0.0)
        elif not isinstance(result, KVError) or isinstance(result, VersionConflict):
            picture.forget(wish_key(name))
