"""A process that stops leaves the catalogue once, and for good."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dronedispatch.runtime import serve
from dronedispatch.runtime.consul import ServiceRegistration
from dronedispatch.runtime.health import Facts
from dronedispatch.runtime.loops import Tasks
from dronedispatch.runtime.settings import ProcessSettings
from dronedispatch.runtime.web import ServiceProcess
from support.virtual_time import pass_time
from support.waiting import in_time, until

pytestmark = pytest.mark.virtual_time


class Catalogue:
    """An agent of Consul that answers at once."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}

    async def agent_services(self) -> dict[str, dict[str, Any]]:
        return self.entries

    async def register(self, registration: ServiceRegistration) -> None:
        self.entries[registration.id] = {}

    async def deregister(self, service_id: str) -> None:
        self.entries.pop(service_id, None)

    async def close(self) -> None:
        """Nothing is open."""


class Server:
    """A server without connections, whose service takes its time to leave."""

    connections = frozenset[object]()
    server = SimpleNamespace(close=lambda: None)

    async def before_stop(self) -> None:
        await pass_time(3 * serve.REGISTRATION_CHECK_S)

    async def after_stop(self) -> None:
        """Nothing is left."""


async def test_who_has_left_the_catalogue_is_not_entered_again_while_it_drains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serve, "REGISTRATION_CHECK_S", 0.5)
    catalogue = Catalogue()
    process = ServiceProcess("svc", ProcessSettings(registration="self"), lambda: None, Facts)
    process.instance = "svc-1"
    process.consul = catalogue  # type: ignore[assignment]
    tasks = Tasks(on_death=lambda name: pytest.fail(f"{name} ended by itself"))
    registrar = serve.register_again_and_again(process, tasks)
    await until(lambda: "svc-1" in catalogue.entries, "it is registered")
    await in_time(serve._stop(Server(), process, tasks, registrar))
    assert not catalogue.entries


class Failing(Server):
    """A server whose service cannot hand over what it has."""

    def __init__(self) -> None:
        self.stopped = False

    async def before_stop(self) -> None:
        raise KeyError("what it wanted to hand over")

    async def after_stop(self) -> None:
        self.stopped = True


async def test_who_cannot_hand_over_finishes_its_answers_and_closes_all_the_same() -> None:
    process = ServiceProcess("svc", ProcessSettings(registration="off"), lambda: None, Facts)
    process.consul = Catalogue()  # type: ignore[assignment]
    server = Failing()
    await in_time(serve._stop(server, process, Tasks(on_death=print), None))
    assert server.stopped
