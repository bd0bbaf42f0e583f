"""scripts/up builds places to charge for its fleet, unless somebody has stored zones."""

from __future__ import annotations

import json
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from loadtests import load, slo_watch, stored
from scripts.local import chargers, system, traffic, up
from scripts.local.chargers import Door
from scripts.local.city_import import Wish, make_city
from scripts.local.home import Home
from scripts.local.options import Options, Request
from scripts.local.system import System
from scripts.local.trouble import Trouble

from dronedispatch.fleet.city import default_city, parse_city
from dronedispatch.tool.api import Api
from dronedispatch.tool.errors import ToolError
from dronedispatch.tool.system import Target, found
from support.certificates import make_certificate


class Lb(ThreadingHTTPServer):
    """Answers GET /zones with `etag`, and keeps what it is PUT."""

    etag = '"0"'
    answer = 200
    city = b"{}"
    cut = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stored: list[tuple[dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Lb

    def do_GET(self) -> None:
        self._reply(200, self.server.city)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.stored.append((dict(self.headers), json.loads(body)))
        self._reply(self.server.answer)

    def do_POST(self) -> None:
        self.do_PUT()

    def _reply(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.server.cut else body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def lb() -> Iterator[Lb]:
    with Lb() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def never(_: float) -> None:
    raise AssertionError("it waits though the answer is final")


def suited(lb: Lb, rest: Callable[[float], None] = never) -> str:
    """What is told of the places for 2,000 drones."""
    return str(chargers.suit(Door(lb.url), "secret", 2000, rest=rest))


def test_a_large_fleet_gets_its_places_under_the_condition_that_nothing_is_stored(lb: Lb) -> None:
    assert "800 places" in suited(lb)
    [(headers, document)] = lb.stored
    assert headers["If-Match"] == '"0"'
    assert headers["Authorization"] == "Bearer secret"
    points = [
        one["properties"] for one in document["features"] if one["properties"]["kind"] == "charge_point"
    ]
    assert sum(point["capacity"] for point in points) == 800


def test_a_small_fleet_has_enough(lb: Lb) -> None:
    assert chargers.suit(Door(lb.url), "secret", 36) is None
    assert lb.stored == []


def test_zones_that_somebody_has_stored_stay(lb: Lb) -> None:
    lb.etag = '"3.7"'
    assert chargers.suit(Door(lb.url), "secret", 2000) is None
    assert lb.stored == []


def test_a_refusal_is_told(lb: Lb) -> None:
    lb.answer = 403
    assert "403" in suited(lb)


def test_a_door_that_is_away_is_told_after_a_bounded_number_of_tries() -> None:
    pauses: list[float] = []
    told = chargers.suit(Door("http://127.0.0.1:1"), "secret", 2000, rest=pauses.append)
    assert "no more places" in str(told)
    assert len(pauses) == chargers.TRIES - 1


@pytest.mark.parametrize("status", chargers.AGAIN)
def test_a_busy_door_is_asked_again(lb: Lb, status: int) -> None:
    lb.answer = status

    def rest(_: float) -> None:
        lb.answer = 200

    assert "800 places" in suited(lb, rest)
    assert len(lb.stored) == 2


def test_a_city_that_was_asked_for_and_is_not_stored_is_trouble(lb: Lb, tmp_path: Path) -> None:
    file = tmp_path / "city.json"
    file.write_text(json.dumps(islands(5.0, chargers_each=2)), encoding="utf-8")
    lb.answer = 403
    with pytest.raises(Trouble, match=r"city\.json was not stored: http.*/zones was answered 403"):
        chargers.suit(Door(lb.url), "secret", 36, str(file), rest=never)


def test_an_answer_that_is_cut_is_asked_for_again_and_ends_no_start(lb: Lb) -> None:
    lb.cut = True

    def rest(_: float) -> None:
        lb.cut = False

    assert chargers.city_at(Door(lb.url)) is None
    assert "800 places" in suited(lb, rest)


def over_tls(lb: Lb, folder: Path) -> Path:
    """From now on it serves TLS; the certificate that it shows."""
    cert, key = make_certificate(folder, "dispatch.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    lb.socket = context.wrap_socket(lb.socket, server_side=True)
    return cert


def test_a_door_with_tls_is_known_by_its_own_certificate_and_by_no_other(lb: Lb, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    cert = over_tls(lb, ours)
    other, _ = make_certificate(theirs, "dispatch.example")
    url = lb.url.replace("http:", "https:")
    assert "800 places" in str(chargers.suit(Door(url, str(cert)), "secret", 2000, rest=never))
    told = chargers.suit(Door(url, str(other)), "secret", 2000, rest=lambda _: None)
    assert "certificate verify failed" in str(told)
    assert len(lb.stored) == 1


def test_everybody_who_is_told_a_home_knows_its_door_by_its_certificate(
    lb: Lb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demonstration, the load test and the tool, whatever this machine's own authorities have signed."""
    cert = str(over_tls(lb, tmp_path))
    lb.city = b'{"drones": {"idle": 3}, "speed": 1.0}'
    port = lb.server_address[1]
    home = Home(tmp_path / "home")
    home.remember({"options": {"listen": "127.0.0.1", "port_base": port}, "settings": {"LB_TLS_CERT": cert}})
    monkeypatch.setattr("os.environ", dict(os.environ))  # a load test adds to it

    assert traffic.send(traffic.door("127.0.0.1", str(port), {"LB_TLS_CERT": cert}), {}, "key") is None
    asked = load.parsed(["--home", str(home.root), "--headless"])
    load.locate(asked)
    load.prepare(asked)
    watched = slo_watch.parsed(["--home", str(home.root)])
    slo_watch.locate(watched)
    assert watched.host == asked.host == f"https://127.0.0.1:{port}"
    assert stored.speed(watched.host) == 1.0
    assert Api(found(Target(home=home.root), {})).get("/figures")["speed"] == 1.0

    Path(cert).unlink()
    with pytest.raises(ToolError, match=rf"{cert} cannot be read"):
        Api(found(Target(home=home.root), {})).get("/figures")


def test_a_home_that_cannot_be_read_is_no_verdict_and_no_violated_threshold(tmp_path: Path) -> None:
    (tmp_path / "system.json").mkdir()
    with pytest.raises(Trouble):
        load.find_door(load.parsed(["--home", str(tmp_path)]))


def test_what_shows_a_certificate_that_nobody_knows_is_told_with_what_to_do(
    lb: Lb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over_tls(lb, tmp_path)
    monkeypatch.delenv(stored.CERTIFICATE, raising=False)
    with pytest.raises(stored.NoAnswer, match="SSL_CERT_FILE"):
        stored.get(lb.url.replace("http:", "https:"), "/figures")


@pytest.mark.parametrize("harm", ["name", "walled in"])
def test_a_city_that_no_gateway_takes_is_refused_before_anything_starts(tmp_path: Path, harm: str) -> None:
    document = islands(5.0, chargers_each=2)
    zone = next(one for one in document["features"] if one["properties"]["kind"] == "zone")
    if harm == "name":
        zone["properties"]["name"] = "a\nb"
    else:
        ring = [[4.99, 51.99], [5.03, 51.99], [5.03, 52.03], [4.99, 52.03], [4.99, 51.99]]
        whole = {"type": "Polygon", "coordinates": [ring]}
        properties = {"kind": "no_fly", "id": "all", "name": "all"}
        document["features"].append({"type": "Feature", "properties": properties, "geometry": whole})
    file = tmp_path / "city.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(Trouble, match="is no city"):
        chargers.check(str(file))


def islands(*lons: float, chargers_each: int) -> Any:
    rings = [
        [[[lon, 52.0], [lon + 0.02, 52.0], [lon + 0.02, 52.02], [lon, 52.02], [lon, 52.0]]] for lon in lons
    ]
    quarters = {"type": "MultiPolygon", "coordinates": rings}
    return make_city(quarters, Wish(spread=len(lons) * chargers_each)).document


def test_the_order_that_a_newcomer_is_shown_is_one_that_flies_in_his_city() -> None:
    assert chargers.first_order(default_city()) == chargers.FIRST_ORDER
    city = parse_city(islands(5.0, 5.05, chargers_each=2), "v")
    places = chargers.first_order(city)
    assert places is not None
    assert [city.why_not_here(place) for place in places] == [None, None]
    assert abs(places[0].lon - places[1].lon) < 0.02
    assert chargers.first_order(parse_city(islands(5.0, 5.05, chargers_each=1), "v")) is None


def test_the_city_that_runs_is_asked_for_and_what_is_none_is_none(lb: Lb) -> None:
    assert chargers.city_at(Door(lb.url)) is None
    lb.city = json.dumps(default_city().document).encode()
    assert chargers.city_at(Door(lb.url)) == parse_city(default_city().document, "stored")
    assert chargers.city_at(Door("http://127.0.0.1:1")) is None


@pytest.mark.parametrize(
    "text", ["{}", "[" * 100_000, '{"a": ' + "9" * 5_000 + "}"], ids=["none", "deep", "long"]
)
def test_a_file_that_is_no_city_is_refused_before_anything_starts(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(*_: object) -> None:
        raise Trouble("a port was looked at")

    monkeypatch.setattr(System, "check_ports", too_late)
    (tmp_path / "city.json").write_text(text, encoding="utf-8")
    request = Request(
        tmp_path / "home", detach=True, fresh=False, given={"city": str(tmp_path / "city.json")}
    )
    with pytest.raises(Trouble, match=r"city\.json"):
        up.bring_up(request, {})


def test_up_again_stores_the_city_that_a_start_cut_short_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "city.json"
    file.write_text(json.dumps(islands(5.0, chargers_each=2)), encoding="utf-8")
    running = System(Home(tmp_path / "home"), Options(city=str(file)))
    running.home.secret("operator").parent.mkdir(parents=True)
    running.home.secret("operator").write_text("secret", encoding="utf-8")
    asked: list[str] = []
    monkeypatch.setattr(system, "of_home", lambda _home: running)
    monkeypatch.setattr(running, "start", lambda _report: None)
    monkeypatch.setattr(chargers, "suit", lambda *given: asked.append(given[-1]))
    cases: list[dict[str, int | float | str]] = [{"city": str(file)}, {}]
    for given in cases:
        up._already_there(Request(running.home.root, detach=True, fresh=False, given=given), running.home)
    assert asked == [str(file)]
