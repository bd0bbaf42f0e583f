"""/drones"""

from __future__ import annotations

from sanic import HTTPResponse, Request

from dronedispatch.fleet.dispatch_state import Wanted
from dronedispatch.gateway.changes import Changes
from dronedispatch.gateway.core.listing import drone_query
from dronedispatch.gateway.core.parameters import no_query
from dronedispatch.gateway.core.views import DesiredStateView, DronePage
from dronedispatch.gateway.lists import Lists
from dronedispatch.gateway.routes import input as given
from dronedispatch.gateway.routes.operator import OperatorGate
from dronedispatch.runtime.web import json_answer


class DroneRoutes:
    """Handlers."""

    def __init__(self, changes: Changes, lists: Lists, gate: OperatorGate, bytes_max: int) -> None:
        self._changes = changes
        self._lists = lists
        self._bytes_max = bytes_max
        self.decommission = gate.guard(self._decommission)
        self.recommission = gate.guard(self._recommission)

    async def one(self, request: Request, drone_id: str) -> HTTPResponse:
        no_query(given.arguments(request))
        return json_answer(await self._lists.drone(given.drone_id(drone_id)))

    async def many(self, request: Request) -> HTTPResponse:
        drones, after = await self._lists.drones(drone_query(given.arguments(request)))
        return json_answer(DronePage(drones=drones, next=after))

    async def _decommission(self, request: Request, drone_id: str) -> HTTPResponse:
        return await self._set(request, drone_id, Wanted.DECOMMISSIONED)

    async def _recommission(self, request: Request, drone_id: str) -> HTTPResponse:
        return await self._set(request, drone_id, Wanted.COMMISSIONED)

    async def _set(self, request: Request, drone_id: str, wanted: Wanted) -> HTTPResponse:
        no_query(given.arguments(request))
        given.no_body(request, self._bytes_max)
        desired = await self._changes.set_desired_state(
            given.drone_id(drone_id), wanted, request.ctx.request_id
        )
        return json_answer(DesiredStateView(drone_id=drone_id, wanted=desired.wanted, at=desired.at), 202)
