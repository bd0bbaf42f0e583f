"""One order through the door of a cluster, and its way until it is delivered: the last step of scripts/try-vagrant."""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from http.client import HTTPException
from typing import Any

ORDER = {"origin": {"lat": 41.89, "lon": 12.48}, "destination": {"lat": 41.92, "lon": 12.51}, "weight": 1.2}
INTERVAL_S = 1.0
ENDED = {"delivered", "failed", "cancelled"}


class NotDeliveredError(Exception):
    """The order was not delivered in time; the message has the last answer."""


def ask(door: str, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
    """(status, document); status 0 and the reason where nobody answered."""
    sent = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(door + path, data, sent), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as exc:
        return exc.code, _reason(exc.read().decode("utf-8", "replace"))
    except (OSError, HTTPException, ValueError) as exc:
        return 0, str(exc)


def _reason(text: str) -> str:
    """What a problem document says, without the request's id: two answers for one reason are one line."""
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, TypeError, KeyError):
        return text


def deliver(door: str, deadline_s: float, say: Callable[[str], None]) -> None:
    """Place one order (again with its key until it is accepted) and follow it. Raises NotDeliveredError."""
    began_s = time.monotonic()
    key, seen, path = str(uuid.uuid4()), "", "/deliveries"
    while True:
        status, told = ask(door, path, ORDER, key) if path == "/deliveries" else ask(door, path)
        now = str(told["status"]) if isinstance(told, dict) else f"HTTP {status}: {str(told)[:160]}"
        if now != seen:
            say(f"{time.monotonic() - began_s:6.0f} s  {now}")
            seen = now
        if status == 201:
            path = f"/deliveries/{told['id']}"
        if now in ENDED:
            break
        if time.monotonic() - began_s > deadline_s:
            raise NotDeliveredError(f"not delivered after {deadline_s:.0f} s; the last answer was: {seen}")
        time.sleep(INTERVAL_S)
    if seen != "delivered":
        raise NotDeliveredError(f"the order ended as {seen}")


def main(argv: Sequence[str]) -> int:
    """0: delivered. 1: not, and why was said."""
    parser = argparse.ArgumentParser("order", description=__doc__)
    parser.add_argument("door", help="http://address:port")
    parser.add_argument("--deadline", type=float, default=600.0, metavar="SECONDS")
    options = parser.parse_args(argv)
    try:
        deliver(options.door, options.deadline, lambda line: print(line, flush=True))
    except NotDeliveredError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
