"""The city of a system: the document of --city, or the default one with places to charge for a large fleet.

Whoever has stored zones keeps them, unless --city says otherwise.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from random import Random

from scripts.local.trouble import Trouble

from dronedispatch.fleet.city import City, CityInvalid, default_city, parse_city
from dronedispatch.fleet.paths import paths_of
from dronedispatch.fleet.positions import LatLon, distance_m
from dronedispatch.runtime.backoff import full_jitter

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
TIMEOUT_S = 15.0
TRIES = 6
AGAIN = (412, 429, 502, 503, 504)
_THERE = "it is there"
FIRST_ORDER = (LatLon(lat=41.8902, lon=12.4922), LatLon(lat=41.9109, lon=12.4763))


def check(city_file: str) -> None:
    """Raises Trouble for a --city that is none, before anything is started for it."""
    document = _document(city_file)
    if document is not None:
        _parsed(document, city_file)


def city_at(url: str) -> City | None:
    """The city that a running system says it has; None: it cannot be asked."""
    try:
        with _OPENER.open(f"{url}/zones", timeout=TIMEOUT_S) as answer:
            return parse_city(json.load(answer), "stored")
    except (OSError, ValueError, CityInvalid):
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
    url: str,
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
    why_not = _put_persistently(url, operator_token, larger, document is None, rest, rng or Random())
    if why_not is _THERE:
        return None
    if document is None:
        return (
            f"no more places to charge for {drones} drones: {why_not}"
            if why_not
            else f"{places} (PUT /zones changes them)"
        )
    if why_not:
        raise Trouble(f"the city of {city_file} was not stored: {why_not}")
    return f"city: {city_file}, {len(city.zones)} zones, {len(city.charge_points)} charge points, {places}"


def _put_persistently(
    url: str, token: str, city: City, only_the_first: bool, rest: Callable[[float], None], rng: Random
) -> str | None:
    """None: stored; `_THERE`: nothing was to do; else why it was not stored. Each try looks at what is there first."""
    for attempt in range(TRIES):
        try:
            return _put(url, token, city, only_the_first)
        except urllib.error.HTTPError as error:
            with error:
                why = f"PUT /zones was answered {error.code} {error.read(300).decode(errors='replace')}"
            if error.code not in AGAIN:
                return why
        except (OSError, ValueError) as error:  # no answer, or one that is not ours
            why = str(error)
        if attempt + 1 < TRIES:
            rest(full_jitter(attempt, base_s=0.5, cap_s=8.0, rng=rng))
    return why


def _put(url: str, token: str, city: City, only_the_first: bool) -> str | None:
    with _OPENER.open(f"{url}/zones", timeout=TIMEOUT_S) as answer:
        etag, stored = str(answer.headers["ETag"]), json.load(answer)
    if stored == city.document or (only_the_first and etag != '"0"'):
        return _THERE
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}", "If-Match": etag}
    body = json.dumps(city.document).encode()
    with _OPENER.open(
        urllib.request.Request(f"{url}/zones", method="PUT", data=body, headers=headers), timeout=TIMEOUT_S
    ):
        return None


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
        return parse_city(document, "given")
    except CityInvalid as error:
        raise Trouble(f"--city {city_file} is no city: {error}: see scripts/city --help") from error
