"""Demonstration traffic: orders that arrive at random moments, from and to random places of the city.

    python -m scripts.local.traffic LISTEN PORT ORDERS_PER_MINUTE SEED

It goes on until SIGTERM; an order that is not accepted is told, not retried under another key.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from loadtests import city as cities
from scripts.local.chargers import Door, city_at

from dronedispatch.fleet.city import City, default_city
from dronedispatch.runtime.home import CERTIFICATE_VARIABLE, door_url

CITY_S = 5.0  # the city may be another by then: --city is stored after the start
WEIGHTS_KG = (0.4, 0.8, 1.2, 2.0, 3.5)


def order(city: City, rng: random.Random) -> dict[str, Any]:
    """The body of one POST /deliveries."""
    return cities.order(city, rng, rng.choice(WEIGHTS_KG))


def door(listen: str, port: str, environ: Mapping[str, str]) -> Door:
    """The load balancer's, whose settings are in the environment of every process of its system."""
    certificate = environ.get(CERTIFICATE_VARIABLE, "")
    return Door(door_url(listen, int(port), certificate), certificate)


def shown_city(door: Door) -> City:
    """The city that is served now; the default one if nobody says."""
    return city_at(door) or default_city()


def send(door: Door, body: dict[str, Any], key: str) -> str | None:
    """Place one order. Returns why it was not accepted; None when it was."""
    request = urllib.request.Request(
        f"{door.url}/deliveries",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": key},
    )
    try:
        with door.ask(request):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.read(300).decode(errors='replace')}"
    except (OSError, HTTPException) as error:
        return str(error) or repr(error)


def main() -> None:
    """Entry point. Each order is sent from a thread of its own, so that a slow answer does not hold back the next."""
    shown, rate, seed = door(sys.argv[1], sys.argv[2], os.environ), float(sys.argv[3]), int(sys.argv[4])
    rng = random.Random(seed)
    run = f"traffic-{int(time.time())}"
    city = shown_city(shown)
    due_s = read_s = time.monotonic()
    number = 0
    while True:
        due_s += rng.expovariate(rate / 60.0)
        time.sleep(max(0.0, due_s - time.monotonic()))
        number += 1
        if time.monotonic() - read_s > CITY_S:
            city, read_s = shown_city(shown), time.monotonic()
        threading.Thread(target=_tell, args=(shown, order(city, rng), f"{run}-{number}"), daemon=True).start()


def _tell(door: Door, body: dict[str, Any], key: str) -> None:
    reason = send(door, body, key)
    print(
        json.dumps(
            {"level": "info" if reason is None else "warning", "event": reason or "accepted", "key": key}
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
