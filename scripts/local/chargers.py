"""Places to charge for a fleet larger than the default city is made for; whoever has stored zones keeps them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from dronedispatch.fleet.city import default_city

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
TIMEOUT_S = 15.0


def suit(url: str, operator_token: str, drones: int) -> str | None:
    """What was done, or could not be, in a line; None when there was nothing to do."""
    city = default_city()
    larger = city.for_fleet(drones)
    if larger is city:
        return None
    places = sum(point.capacity for point in larger.charge_points)
    try:
        with _OPENER.open(f"{url}/zones", timeout=TIMEOUT_S) as answer:
            etag = str(answer.headers["ETag"])
        if etag != '"0"':
            return None
        request = urllib.request.Request(
            f"{url}/zones",
            method="PUT",
            data=json.dumps(larger.document).encode(),
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Bearer {operator_token}",
                "If-Match": etag,
            },
        )
        with _OPENER.open(request, timeout=TIMEOUT_S):
            return f"{places} places to charge for {drones} drones (PUT /zones changes them)"
    except urllib.error.HTTPError as error:
        with error:
            return f"no more places to charge for {drones} drones: PUT /zones was answered {error.code}"
    except OSError as error:
        return f"no more places to charge for {drones} drones: {error}"
