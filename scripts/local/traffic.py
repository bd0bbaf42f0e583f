"""Demonstration traffic: orders that arrive at random moments, from and to random places of the city.

    python -m scripts.local.traffic URL ORDERS_PER_MINUTE SEED

It goes on until SIGTERM; an order that is not accepted is told, not retried under another key.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

from dronedispatch.fleet.city import City, CityInvalid, default_city, parse_city
from dronedispatch.fleet.positions import LatLon

CITY_S = 5.0  # the city may be another by then: --city is stored after the start
WEIGHTS_KG = (0.4, 0.8, 1.2, 2.0, 3.5)
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def place(city: City, rng: random.Random) -> LatLon:
    """A place of the city where a parcel can be fetched or brought."""
    rim = city.boundary.corners
    while True:
        x_m = rng.uniform(min(corner.x_m for corner in rim), max(corner.x_m for corner in rim))
        y_m = rng.uniform(min(corner.y_m for corner in rim), max(corner.y_m for corner in rim))
        pos = city.plane.to_latlon(type(rim[0])(x_m, y_m))
        rounded = LatLon(lat=round(pos.lat, 6), lon=round(pos.lon, 6))
        if city.why_not_here(rounded) is None:
            return rounded


def order(city: City, rng: random.Random) -> dict[str, Any]:
    """The body of one POST /deliveries."""
    origin, destination = place(city, rng), place(city, rng)
    return {
        "origin": {"lat": origin.lat, "lon": origin.lon},
        "destination": {"lat": destination.lat, "lon": destination.lon},
        "weight": rng.choice(WEIGHTS_KG),
    }


def shown_city(url: str) -> City:
    """The city that is served now; the default one if nobody says."""
    try:
        with _OPENER.open(f"{url}/zones", timeout=15) as answer:
            return parse_city(json.load(answer), "shown")
    except (OSError, HTTPException, ValueError, CityInvalid):
        return default_city()


def send(url: str, body: dict[str, Any], key: str) -> str | None:
    """Place one order. Returns why it was not accepted; None when it was."""
    request = urllib.request.Request(
        f"{url}/deliveries",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": key},
    )
    try:
        with _OPENER.open(request, timeout=15):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.read(300).decode(errors='replace')}"
    except (OSError, HTTPException) as error:
        return str(error) or repr(error)


def main() -> None:
    """Entry point. Each order is sent from a thread of its own, so that a slow answer does not hold back the next."""
    url, rate, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    run = f"traffic-{int(time.time())}"
    city = shown_city(url)
    due_s = read_s = time.monotonic()
    number = 0
    while True:
        due_s += rng.expovariate(rate / 60.0)
        time.sleep(max(0.0, due_s - time.monotonic()))
        number += 1
        if time.monotonic() - read_s > CITY_S:
            city, read_s = shown_city(url), time.monotonic()
        threading.Thread(target=_tell, args=(url, order(city, rng), f"{run}-{number}"), daemon=True).start()


def _tell(url: str, body: dict[str, Any], key: str) -> None:
    reason = send(url, body, key)
    print(
        json.dumps(
            {"level": "info" if reason is None else "warning", "event": reason or "accepted", "key": key}
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
