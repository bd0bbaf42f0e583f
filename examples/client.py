#!/usr/bin/env python3
"""Place an order so that a lost answer never makes a second one, and follow it. Standard library only; scripts/up first.

examples/client.py [http://127.0.0.1:8080] [--no-wait]
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

ORDER = {
    "origin": {"lat": 41.89, "lon": 12.48},
    "destination": {"lat": 41.92, "lon": 12.51},
    "weight": 1.2,
}
TRIES = 5
PATIENCE_S = 300.0
_ENDED = {"delivered", "cancelled", "failed"}


def call(url: str, body: object = None, key: str | None = None) -> tuple[int, Any]:
    """(status, document). Raises OSError where there is no answer at all, or none of a DroneDispatch."""
    headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:  # an answer too: a problem document that names the field
        try:
            return error.code, json.load(error)
        except ValueError:
            raise OSError(f"{error.code} without a document") from error
    except (ValueError, http.client.HTTPException) as error:
        raise OSError(f"no answer of a DroneDispatch: {error!r}") from error


def place(url: str) -> str:
    """The id of one new delivery. With the same key, trying again is safe after any silence, 503 or 504."""
    key = str(uuid.uuid4())
    for attempt in range(TRIES):
        try:
            status, document = call(f"{url}/deliveries", ORDER, key)
        except OSError as error:
            status, document = 0, str(error)
        if status == 201:
            return str(document["id"])
        if 400 <= status < 500 and status != 429:
            raise SystemExit(f"refused: {document}")
        time.sleep(random.uniform(0, 0.2 * 2**attempt))
    raise SystemExit(f"no answer after {TRIES} tries: {document}")


def follow(url: str, delivery_id: str) -> str:
    """Print each new status until the last one, which is returned."""
    seen = ""
    deadline_s = time.monotonic() + PATIENCE_S
    while seen not in _ENDED and time.monotonic() < deadline_s:
        try:
            status, document = call(f"{url}/deliveries/{delivery_id}")
        except OSError:  # a read is asked again, whatever became of it
            status, document = 0, None
        if status == 200 and document["status"] != seen:
            seen = document["status"]
            print(f"{delivery_id} {seen}")
        time.sleep(0.5)
    return seen


def main() -> int:
    """0: delivered (or placed, with --no-wait). 2: a wrong call."""
    words = [word for word in sys.argv[1:] if word != "--no-wait"]
    if words and not words[0].startswith(("http://", "https://")):
        asked = words[0] in {"-h", "--help"}
        print(__doc__, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    url = words[0].rstrip("/") if words else "http://127.0.0.1:8080"
    delivery_id = place(url)
    print(f"placed {delivery_id}")
    return 0 if "--no-wait" in sys.argv or follow(url, delivery_id) == "delivered" else 1


if __name__ == "__main__":
    raise SystemExit(main())
