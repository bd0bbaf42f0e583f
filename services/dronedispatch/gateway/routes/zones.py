"""/zones: the city as GeoJSON."""

from __future__ import annotations

import codecs

from sanic import HTTPResponse, Request
from sanic.response import empty, raw

from dronedispatch.fleet.city import CityInvalid
from dronedispatch.gateway.core.body import parse_json
from dronedispatch.gateway.core.headers import IF_MATCH, IF_NONE_MATCH
from dronedispatch.gateway.core.parameters import no_query
from dronedispatch.gateway.core.refusal import BadField
from dronedispatch.gateway.feed import Feed
from dronedispatch.gateway.routes import input as given
from dronedispatch.gateway.routes.operator import OperatorGate
from dronedispatch.gateway.zones import Zones
from dronedispatch.kv.errors import VersionConflict
from dronedispatch.kv.version import Version, parse_version
from dronedispatch.runtime.etags import Tags, parse_tags
from dronedispatch.runtime.problems import Problem


class ZoneRoutes:
    """Handlers."""

    def __init__(self, zones: Zones, feed: Feed, gate: OperatorGate, bytes_max: int) -> None:
        self._zones = zones
        self._feed = feed
        self._bytes_max = bytes_max
        self.replace = gate.guard(self._replace)

    async def show(self, request: Request) -> HTTPResponse:
        no_query(given.arguments(request))
        shown = await self._zones.latest()
        etag = f'"{shown.etag}"'
        if not shown.stale and given.is_known(given.header(request, IF_NONE_MATCH), shown.etag):
            return empty(304, headers={"ETag": etag})
        headers = {"ETag": etag, "Cache-Control": "no-cache"}
        if shown.stale:
            headers["Warning"] = '110 - "no store answers: there may be a newer city"'
        return raw(shown.body, content_type=given.GEOJSON, headers=headers)

    async def _replace(self, request: Request) -> HTTPResponse:
        no_query(given.arguments(request))
        body = given.json_body(request, self._bytes_max, (given.JSON, given.GEOJSON))
        document = parse_json(body.removeprefix(codecs.BOM_UTF8))
        match = given.header(request, IF_MATCH)
        try:
            if match is None or (tags := _tags(match)).any:  # there is always a city: * matches it
                put = await self._zones.replace(document, None, unconditional=True)
            else:
                put = await self._zones.replace(document, await self._expected(tags), unconditional=False)
        except CityInvalid as exc:
            raise BadField(exc.field, exc.reason) from exc
        except VersionConflict as exc:
            raise _changed() from exc
        self._feed.zones_changed(self._zones.etag)
        return raw(put.body, content_type=given.GEOJSON, headers={"ETag": f'"{put.etag}"'})

    async def _expected(self, tags: Tags) -> Version | None:
        """The one version among `tags` that may be the stored one. Raises Problem 412 when none can be."""
        known = [version for text in tags.strong() for version in _versions(text)]
        if len(known) > 1:
            stored = await self._zones.stored_version()
            known = [stored] if stored in known else []
        if not known:
            raise _changed()
        return known[0]


def _tags(match: str) -> Tags:
    if '"' not in match and match.strip() != "*":
        match = f'"{match.strip()}"'  # as this API has always taken it
    try:
        return parse_tags(match)
    except ValueError as exc:
        raise Problem(400, str(exc), field="If-Match") from exc


def _versions(text: str) -> list[Version | None]:
    """The version that a tag of ours writes; none for another's tag."""
    try:
        return [parse_version(text)]
    except ValueError:
        return []


def _changed() -> Problem:
    return Problem(412, "the zones have changed since you read them", field="If-Match")
