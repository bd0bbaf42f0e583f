"""/zones: the city as GeoJSON."""

from __future__ import annotations

from sanic import HTTPResponse, Request
from sanic.response import empty, raw

from dronedispatch.fleet.city import CityInvalid
from dronedispatch.gateway.core.body import BadField, parse_json
from dronedispatch.gateway.core.listing import no_query
from dronedispatch.gateway.feed import Feed
from dronedispatch.gateway.routes import input as given
from dronedispatch.gateway.zones import Zones
from dronedispatch.kv.errors import VersionConflict
from dronedispatch.kv.version import Version, parse_version
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.web import require_token

GEOJSON = "application/geo+json"


class ZoneRoutes:
    """Handlers."""

    def __init__(self, zones: Zones, feed: Feed, bytes_max: int) -> None:
        self._zones = zones
        self._feed = feed
        self._bytes_max = bytes_max
        self.replace = require_token("operator")(self._replace)

    async def show(self, request: Request) -> HTTPResponse:
        no_query(given.arguments(request))
        etag = f'"{self._zones.etag}"'
        if request.headers.get("if-none-match") == etag:
            return empty(304, headers={"ETag": etag})
        headers = {"ETag": etag, "Cache-Control": "no-cache"}
        return raw(self._zones.body, content_type=GEOJSON, headers=headers)

    async def _replace(self, request: Request) -> HTTPResponse:
        no_query(given.arguments(request))
        document = parse_json(given.json_body(request, self._bytes_max))
        match = request.headers.get("if-match")
        try:
            expected = None if match is None else _version(match)
            etag = await self._zones.replace(document, expected, unconditional=match is None)
        except CityInvalid as exc:
            raise BadField(exc.field, exc.reason) from exc
        except VersionConflict as exc:
            raise Problem(412, "the zones have changed since you read them", field="If-Match") from exc
        self._feed.zones_changed(etag)
        return raw(self._zones.body, content_type=GEOJSON, headers={"ETag": f'"{etag}"'})


def _version(match: str) -> Version | None:
    try:
        return parse_version(match.strip().strip('"'))
    except ValueError as exc:
        raise Problem(400, str(exc), field="If-Match") from exc
