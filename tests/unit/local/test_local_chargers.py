"""scripts/up builds places to charge for its fleet, unless somebody has stored zones."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from scripts.local import chargers


class Door(ThreadingHTTPServer):
    """Answers GET /zones with `etag`, and keeps what it is PUT."""

    etag = '"0"'
    answer = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stored: list[tuple[dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Door

    def do_GET(self) -> None:
        self._reply(200, b"{}")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.stored.append((dict(self.headers), json.loads(body)))
        self._reply(self.server.answer)

    def _reply(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def door() -> Iterator[Door]:
    with Door() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_large_fleet_gets_its_places_under_the_condition_that_nothing_is_stored(door: Door) -> None:
    told = chargers.suit(door.url, "secret", 2000)
    [(headers, document)] = door.stored
    assert headers["If-Match"] == '"0"'
    assert headers["Authorization"] == "Bearer secret"
    points = [
        one["properties"] for one in document["features"] if one["properties"]["kind"] == "charge_point"
    ]
    assert sum(point["capacity"] for point in points) == 800
    assert told is not None
    assert "800 places" in told


def test_a_small_fleet_has_enough(door: Door) -> None:
    assert chargers.suit(door.url, "secret", 36) is None
    assert door.stored == []


def test_zones_that_somebody_has_stored_stay(door: Door) -> None:
    door.etag = '"3.7"'
    assert chargers.suit(door.url, "secret", 2000) is None
    assert door.stored == []


def test_a_refusal_is_told(door: Door) -> None:
    door.answer = 503
    told = chargers.suit(door.url, "secret", 2000)
    assert told is not None
    assert "503" in told


def test_a_door_that_is_away_is_told() -> None:
    told = chargers.suit("http://127.0.0.1:1", "secret", 2000)
    assert told is not None
    assert "no more places" in told
