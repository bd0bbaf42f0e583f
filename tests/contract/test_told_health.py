"""Whoever the store serves says what the store says of itself, in the same word."""

from __future__ import annotations

import pytest

from dronedispatch.dispatcher.app import Dispatcher
from dronedispatch.dispatcher.settings import Settings as DispatcherSettings
from dronedispatch.drone_sim.app import DroneSim
from dronedispatch.drone_sim.settings import Settings as DroneSimSettings
from dronedispatch.lb.app import DataPlane
from dronedispatch.lb.settings import Settings as DoorSettings
from dronedispatch.runtime.consul import Endpoint
from dronedispatch.runtime.health import Copies, Facts, Word, judge
from dronedispatch.runtime.loops import Tasks
from dronedispatch.runtime.settings import ProcessSettings
from dronedispatch.runtime.web import ServiceProcess, create_web
from dronedispatch.testing.serving import serving
from support.waiting import until

SHORT = Facts(copies=Copies(slots=64, whole=22, fewer=42, one=42, none=0, absent={}))


@pytest.mark.parametrize("service", ["dispatcher", "drone-sim"])
async def test_a_store_that_is_short_of_copies_degrades_whom_it_serves(service: str) -> None:
    settings = ProcessSettings(registration="off")
    coordinator = create_web("kvfront", settings, ready=lambda: None, facts=lambda: SHORT)
    process = ServiceProcess(service, settings, lambda: None, Facts)
    made: Dispatcher | DroneSim = (
        Dispatcher(DispatcherSettings(process=settings), process)
        if service == "dispatcher"
        else DroneSim(DroneSimSettings(process=settings), process)
    )
    assert judge(made.facts()).word is Word.HEALTHY
    async with serving(coordinator) as port:
        made.coordinators.value = (Endpoint("kvfront-1", "127.0.0.1", port),)
        await made.store_health.once()
    await made.http.close()
    verdict = judge(made.facts())
    assert (verdict.word, [one.kind for one in verdict.reasons]) == (Word.DEGRADED, ["slots_short"])


async def test_a_door_says_what_its_gateways_say() -> None:
    settings = ProcessSettings(registration="off", port=0)
    gateway = create_web("gateway", settings, ready=lambda: None, facts=lambda: SHORT)
    async with serving(gateway) as port:
        door = DataPlane(
            DoorSettings(process=settings, gateways=f"127.0.0.1:{port}"),
            ServiceProcess("lb", settings, lambda: None, Facts),
            {},
        )
        tasks = Tasks(on_death=lambda _name: None)
        assert judge(door.facts()).word is Word.HEALTHY
        await door.start(tasks)
        await until(lambda: judge(door.facts()).word is Word.DEGRADED, "the gateway's word is heard")
        await tasks.stop()
        await door.leave()
    assert [one.kind for one in judge(door.facts()).reasons] == ["slots_short"]
