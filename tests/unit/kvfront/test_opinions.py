"""Coordinators speak of a replica by its name, whatever characters the settings let it have."""

from __future__ import annotations

from typing import cast

from dronedispatch.kvfront.peers import Peers
from dronedispatch.kvfront.routes import add_routes
from dronedispatch.kvstore.reachability import Reachability
from dronedispatch.replication.effects import Pulse
from dronedispatch.replication.links import Links
from dronedispatch.replication.pings import ping_client
from dronedispatch.runtime.consul import ConsulClient
from dronedispatch.runtime.discovery import Endpoint, ServiceWatch
from dronedispatch.runtime.settings import ProcessSettings, Secret
from dronedispatch.runtime.web import create_web
from dronedispatch.testing.serving import serving

NAME = "rack 1 #a?b%20"
TOKEN = Secret("only-for-tests")


class OneReplica:
    """Links to a replica that answers."""

    def get(self, name: str) -> object:
        return name if name == NAME else None

    async def ping(self, _name: str) -> Pulse:
        return Pulse.ALIVE


async def test_a_replica_of_any_name_is_asked_about_and_told_that_it_is_reached() -> None:
    app = create_web("kvfront", ProcessSettings(store_token=TOKEN), ready=lambda: None)
    add_routes(app, lambda: cast(Links, OneReplica()))
    consul, http = ConsulClient("127.0.0.1:1"), ping_client(None)
    watch = ServiceWatch(consul, "kvfront")
    async with serving(app) as port:
        watch.value = (Endpoint("other", "127.0.0.1", port),)
        second_opinion = await Peers(watch, http, TOKEN, lambda: 60.0).opinion(NAME)
        reached = await Reachability(NAME, watch, http, TOKEN).reached()
        await http.close()
    await consul.close()
    assert (second_opinion, reached) == (True, True)
