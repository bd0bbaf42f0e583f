"""The city of a system: the document of --city, or the default one with places to charge for a large fleet.

Whoever has stored zones keeps them, unless --city says otherwise.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from random import Random
from typing import Any
from urllib.request import Request

from loadtests.stored import direct
from scripts.local.trouble import Trouble

from dronedispatch.fleet.city import City, CityInvalid, default_city, parse_city
from dronedispatch.fleet.geojson import refuse_strange_names
from dronedispatch.fleet.paths import paths_of
from dronedispatch.fleet.positions import LatLon, distance_m
from dronedispatch.runtime.backoff import full_jitter

TIMEOUT_S = 15.0
TRIES = 6
AGAIN = (412, 429, 502, 503, 504)
FIRST_ORDER = (LatLon(lat=41.8902, lon=12.4922), LatLon(lat=41.9109, lon=12.4763))


def check(city_file: str) -> None:
    """Raises Trouble for a --city that no gateway would take, before anything is started for it."""
    document = _document(city_file)
    if document is not None:
        _parsed(document, city_file)


@dataclass(frozen=True, slots=True)
class Door:
    """The load balancer of this machine's system. `certificate`: the PEM file that it shows, which is what we trust."""

    url: str
    certificate: str = ""

    def ask(self, request: Request | str) -> http.client.HTTPResponse:
        """Raises OSError, HTTPException."""
        answer: http.client.HTTPResponse = direct(self.certificate).open(request, timeout=TIMEOUT_S)
        return answer

    def city(self) -> tuple[str, Any]:
        """(ETag, document) of the city that is stored. Raises OSError, HTTPException, ValueError."""
        with self.ask(f"{self.url}/zones") as answer:
            return str(answer.headers["ETag"]), json.load(answer)

    def put_city(self, document: object, token: str, etag: str) -> None:
        """Raises OSError, HTTPException."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}", "If-Match": etag}
        body = json.dumps(document).encode()
        self.ask(Request(f"{self.url}/zones", method="PUT", data=body, headers=headers)).close()


def city_at(door: Door) -> City | None:
    """The city that a running system says it has; None: it cannot be asked."""
    try:
        return parse_city(door.city()[1], "stored")
    except (OSError, HTTPException, ValueError, CityInvalid):
        return None


def first_order(city: City) -> tuple[LatLon, LatLon] | None:
    """Two places of the city that a drone flies between; None: no two of its charge points have a way."""
    if not any(city.why_not_here(place) for place in FIRST_ORDER):
        return FIRST_ORDER
    points, paths = city.charge_points, paths_of(city)
    pairs = [(one, other) for i, one in enumerate(points) for other in points[i + 1 :]]
    for one, other in sorted(pairs, key=lambda pair: distance_m(pair[0].at, pair[1].at)):
        if paths.why_no_way(one.at, other.at) is None:
            return one.pos, other.pos
    return None


def suit(
    door: Door,
    operator_token: str,
    drones: int,
    city_file: str = "",
    *,
    rest: Callable[[float], None] = time.sleep,
    rng: Random | None = None,
) -> str | None:
    """What was done, or could not be, in a line; None: nothing was to do.

    Raises Trouble for a --city that is none, and for one that was not stored: the system would go on in another one.
    """
    document = _document(city_file)
    city = default_city() if document is None else _parsed(document, city_file)
    larger = city.for_fleet(drones)
    if document is None and larger is city:
        return None
    places = f"{sum(point.capacity for point in larger.charge_points)} places to charge for {drones} drones"

    def put() -> bool:
        etag, stored = door.city()
        if stored == larger.document or (document is None and etag != '"0"'):
            return False
        door.put_city(larger.document, operator_token, etag)
        return True

    try:
        if not _persistently(put, rest, rng or Random()):
            return None
    except _NotStored as why:
        if document is None:
            return f"no more places to charge for {drones} drones: {why}"
        raise Trouble(f"the city of {city_file} was not stored: {why}") from why
    if document is None:
        return f"{places} (PUT /zones changes them)"
    return f"city: {city_file}, {len(city.zones)} zones, {len(city.charge_points)} charge points, {places}"


class _NotStored(Exception):
    pass


def _persistently(put: Callable[[], bool], rest: Callable[[float], None], rng: Random) -> bool:
    """What `put` says; a busy or cut answer is no answer yet. Raises _NotStored."""
    for attempt in range(TRIES):
        try:
            return put()
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(300).decode(errors="replace")
            why = f"{error.url} was answered {error.code} {said}"
            if error.code not in AGAIN:
                break
        except (
            OSError,
            HTTPException,
            ValueError,
        ) as error:  # no answer, half of one, or one that is not ours
            why = str(error) or repr(error)
        if attempt + 1 < TRIES:
            rest(full_jitter(attempt, base_s=0.5, cap_s=8.0, rng=rng))
    raise _NotStored(why)


def _document(city_file: str) -> object:
    if not city_file:
        return None
    try:
        return json.loads(Path(city_file).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise Trouble(f"--city {city_file} cannot be read: {error}") from error
    except RecursionError as error:
        raise Trouble(f"--city {city_file} is nested too deeply to be GeoJSON") from error


def _parsed(document: object, city_file: str) -> City:
    try:
        refuse_strange_names(document)
        city = parse_city(document, "given")
        paths_of(city).refuse_new()
    except CityInvalid as error:
        raise Trouble(f"--city {city_file} is no city: {error}: see scripts/city --help") from error
    return city
