"""The dock of a charge point that is gone: several processes leave it, and then nobody writes it any more."""

from __future__ import annotations

import json

import msgspec

from dronedispatch.drone_sim.core.docks import Dock, dock_key
from dronedispatch.drone_sim.core.placement import drone_id
from dronedispatch.drone_sim.core.schedule import Beat
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.documents import ZONES_KEY, decode, encode
from dronedispatch.kv.client import Cas, Op
from dronedispatch.testing.town import Town

BEAT = Beat(late_s=0.0, elapsed_s=1.0, skipped=0, next_due_s=0.0)
POINT = "charge-north-east"


def without_the_point() -> bytes:
    document = json.loads(json.dumps(default_city().open_sky().document))
    for feature in document["features"]:
        if feature["properties"]["id"] == POINT:
            feature["properties"]["id"] = "renamed"
    return encode(document)


async def test_a_dock_that_another_process_has_left_first_is_left_too_and_then_alone() -> None:
    town = Town(speed=10.0)
    fleet = town.add_fleet(1)
    await town.ticks(2)
    craft = fleet.state.crafts[drone_id(0)]
    fleet.state.crafts[drone_id(0)] = msgspec.structs.replace(craft, queued=POINT)
    fleet.state.docks[POINT] = Dock((drone_id(0), "another's"))
    await town.kv.put(ZONES_KEY, without_the_point())
    await fleet.zones.once()
    await town.kv.put(dock_key(POINT), encode(Dock((drone_id(0),))))  # the other one has gone
    tries: list[str] = []

    def see(op: Op) -> None:
        if isinstance(op, Cas) and op.key == dock_key(POINT):
            tries.append(op.key)

    town.kv.before = see
    for _ in range(10):
        await fleet.tick(BEAT)
    item = await town.kv.get(dock_key(POINT))
    assert item is not None
    assert decode(Dock, item.value) == Dock()
    assert len(tries) == 2
    await town.close()
