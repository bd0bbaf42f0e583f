"""The dock of a charge point that is gone: several processes leave it, and then nobody writes it any more."""

from __future__ import annotations

import msgspec

from dronedispatch.drone_sim.core.docks import Dock, dock_key
from dronedispatch.drone_sim.core.placement import drone_id
from dronedispatch.fleet.documents import decode, encode
from dronedispatch.kv.client import Cas, Op
from dronedispatch.testing.town import Town
from dronedispatch.testing.views import OPEN_SKY
from support.generated_cities import renamed
from support.towns import a_fleet, beats, becomes, stored

POINT = "charge-north-east"


async def test_a_dock_that_another_process_has_left_first_is_left_too_and_then_alone(town: Town) -> None:
    fleet = await a_fleet(town, 1)
    craft = fleet.state.crafts[drone_id(0)]
    fleet.state.crafts[drone_id(0)] = msgspec.structs.replace(craft, queued=POINT)
    fleet.state.docks[POINT] = Dock((drone_id(0), "another's"))
    await becomes(town, renamed(OPEN_SKY, POINT))
    await town.kv.put(dock_key(POINT), encode(Dock((drone_id(0),))))  # the other one has gone
    tries: list[str] = []

    def see(op: Op) -> None:
        if isinstance(op, Cas) and op.key == dock_key(POINT):
            tries.append(op.key)

    town.kv.before = see
    await beats(fleet, 10)
    assert decode(Dock, (await stored(town.kv, dock_key(POINT))).value) == Dock()
    assert len(tries) == 2
