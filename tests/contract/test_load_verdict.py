"""scripts/load and tests/slo_watch.sh as people run them, against a gateway whose orders a stand-in delivers at once."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from email.utils import formatdate
from functools import partial
from pathlib import Path

import pytest
from sanic import HTTPResponse, Request

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, delivery_tags, move_delivery
from dronedispatch.fleet.documents import decode, encode, stamp
from dronedispatch.runtime.clock import SystemClock
from dronedispatch.testing.gateway import MemoryGateway
from dronedispatch.testing.serving import serving
from support.aside import aside
from support.ports import free_port
from support.waiting import let_run, wait_until

CHECKOUT = Path(__file__).parents[2]
LIFE = (DeliveryStatus.ASSIGNED, DeliveryStatus.IN_PROGRESS, DeliveryStatus.DELIVERED)


async def deliver_at_once(gateway: MemoryGateway) -> None:
    """Every pending order through its whole life."""
    while True:
        page = await gateway.kv.scan(tag=f"status={DeliveryStatus.PENDING}")
        for item in page.items:
            delivery = decode(Delivery, item.value)
            for status in LIFE:
                at = stamp(gateway.clock.wall_s())
                delivery = move_delivery(delivery, status, at=at, cause="stand-in", drone_id="d1")
            await gateway.kv.put(item.key, encode(delivery), tags=delivery_tags(delivery))
        await let_run(0.05)


class OffClock(SystemClock):
    """Set wrong by `off_s`."""

    def __init__(self, off_s: float) -> None:
        super().__init__()
        self._off_s = off_s

    def wall_s(self) -> float:
        return super().wall_s() + self._off_s


@asynccontextmanager
async def town(off_s: float = 0.0) -> AsyncIterator[str]:
    """Its clock, and so its stored timestamps and its Date, are off by `off_s`."""
    clock = OffClock(off_s)
    gateway = MemoryGateway(clock=clock)

    @gateway.app.on_response  # type: ignore[untyped-decorator]
    async def dated(_request: Request, response: HTTPResponse) -> None:
        response.headers["date"] = formatdate(clock.wall_s(), usegmt=True)

    async with serving(gateway.app) as port:
        flight = asyncio.create_task(deliver_at_once(gateway))
        yield f"http://127.0.0.1:{port}"
        flight.cancel()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with aside(town) as address:
        yield address


@pytest.fixture(scope="module")
def an_hour_behind() -> Iterator[str]:
    with aside(partial(town, -3600.0)) as address:
        yield address


def run(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CHECKOUT / command, *arguments], capture_output=True, text=True, timeout=600, check=False
    )


UNTIL_12_ORDERS = ("--minutes", "20", "--orders", "12", "--orders-per-minute", "300")


def load(url: str, *more: str, test: Sequence[str] = UNTIL_12_ORDERS) -> subprocess.CompletedProcess[str]:
    return run("scripts/load", "--host", url, "--headless", *test, *more)


SECONDS = ("post_p95_ms_max", "to_assigned_p95_s_max", "to_delivered_p95_s_max")
NO_MATTER_HOW_SLOW = dict.fromkeys(SECONDS, 1e9)


def planted(tmp_path: Path, values: Mapping[str, float] = NO_MATTER_HOW_SLOW) -> Path:
    """The thresholds of the repository with others for some. Those in seconds would judge the machine, not us."""
    text = (CHECKOUT / "loadtests" / "slo.toml").read_text()
    for name, value in values.items():
        text, changed = re.subn(rf"(?m)^{name} .*$", f"{name} = {value!r}", text)
        assert changed == 1, name
    path = tmp_path / "slo.toml"
    path.write_text(text)
    return path


def test_a_system_that_keeps_its_promises_passes_with_a_table(url: str, tmp_path: Path) -> None:
    ended = load(url, "--slo", str(planted(tmp_path)))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for name in ("failed requests", "POST p95", "created -> assigned p95", "created -> delivered p95"):
        assert name in ended.stdout
    assert "VIOLATED" not in ended.stdout


def test_a_planted_violation_ends_in_exit_code_1(url: str, tmp_path: Path) -> None:
    ended = load(
        url, "--slo", str(planted(tmp_path, NO_MATTER_HOW_SLOW | {"to_assigned_p95_s_max": 0.000_001}))
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "VIOLATED" in ended.stdout


def orders_of(ended: subprocess.CompletedProcess[str]) -> int:
    found = re.search(r"(?m)^orders +(\d+) ", ended.stdout)
    assert found is not None, ended.stdout + ended.stderr
    return int(found[1])


def test_processes_share_the_rate_and_the_number_of_orders(url: str, tmp_path: Path) -> None:
    two = ("--processes", "2", "--slo", str(planted(tmp_path)))
    ended = load(url, *two, test=("--minutes", "0.25", "--orders-per-minute", "480"))
    assert orders_of(ended) < 180, "120 were asked for; two processes that each offer the whole rate make 240"
    ended = load(url, *two)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert 12 <= orders_of(ended) < 24


def test_a_rate_that_could_not_be_offered_is_invalid_and_no_success(url: str, tmp_path: Path) -> None:
    too_much = ("--minutes", "0.15", "--orders-per-minute", "1000000", "--users", "2")
    ended = load(url, "--slo", str(planted(tmp_path)), test=too_much)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert re.search(r"(?m)^offered rate +\d.*INVALID$", ended.stdout)
    assert "SLO verdict: invalid" in ended.stderr


def test_a_load_host_whose_clock_is_off_says_so_and_judges_the_right_orders(
    an_hour_behind: str, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    ended = load(an_hour_behind, "--slo", str(planted(tmp_path)), "--html", str(report))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert 12 <= orders_of(ended) < 24
    assert re.search(r"clock is 3(599|600)\.\d s ahead of the server's", ended.stderr)
    assert "SLO verdict: <span style='color:#1b7f3b'>all thresholds hold" in report.read_text()


@contextmanager
def web_ui(url: str, *more: str) -> Iterator[str]:
    port = free_port()
    arguments = ["--host", url, "--web-port", str(port), "--orders-per-minute", "600", *more]
    with subprocess.Popen([CHECKOUT / "scripts/load", *arguments]) as locust:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            locust.terminate()


def asked(address: str, form: Mapping[str, object] | None = None) -> str:
    body = None if form is None else urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(address, body, timeout=120) as answer:
        return str(answer.read().decode())


def answers(address: str) -> bool:
    try:
        return bool(asked(address))
    except OSError:
        return False


def tab(page: str) -> dict[str, dict[str, str]]:
    """The rows of the tab, by name."""
    [shown] = json.loads(asked(f"{page}/stats/requests"))["extended_stats"]
    return {row["name"]: row for row in shown["data"]}


def test_the_verdict_is_a_tab_of_locusts_page_and_in_its_report(url: str, tmp_path: Path) -> None:
    planted_slo = str(planted(tmp_path, NO_MATTER_HOW_SLOW | {"to_assigned_p95_s_max": 0.000_001}))
    with web_ui(url, "--slo", planted_slo) as page:
        wait_until(lambda: answers(page), "the page answers", 10.0)
        assert "SLO verdict" in asked(page)
        assert tab(page)["Verdict"]["verdict"] == "no verdict"
        asked(f"{page}/swarm", {"user_count": 4, "spawn_rate": 4, "host": url})
        wait_until(lambda: tab(page).get("POST p95", {}).get("verdict") == "ok", "an order is placed")
        wait_until(
            lambda: int(re.findall(r"of (\d+)", tab(page)["failed requests"]["measured"])[0]) > 100,
            "100 requests",
        )
        asked(f"{page}/stop", {})
        wait_until(lambda: tab(page)["Verdict"]["verdict"] == "VIOLATED", "the verdict", 15.0)
        assert tab(page)["created -> assigned p95"]["verdict"] == "VIOLATED"
        assert "violated: created -&gt; assigned p95" in asked(f"{page}/stats/report")
        assert "SLO verdict: violated" in asked(f"{page}/logs")


def test_the_passive_watch_judges_the_log_and_the_stored_timestamps(url: str, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    now = stamp(SystemClock().wall_s())
    log.write_text(f'{now} ::1 "POST /deliveries HTTP/1.1" 201 1/1 0/0/0/1/2 gateway-1 1 ok x\n' * 10)
    slo = ("--slo", str(planted(tmp_path)))
    assert load(url, *slo).returncode == 0
    ended = run("tests/slo_watch.sh", "--once", "--host", url, "--log", str(log), *slo)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "created -> delivered: mean" in ended.stdout
    log.write_text(f'{now} ::1 "GET / HTTP/1.1" 503 1/1 0/0/0/1/2 gateway-1 1 ok x\n' * 10)
    ended = run("tests/slo_watch.sh", "--once", "--host", url, "--log", str(log), *slo)
    assert ended.returncode == 1, ended.stdout + ended.stderr


def test_without_a_system_there_is_no_verdict_and_no_success(tmp_path: Path) -> None:
    ended = run(
        "tests/slo_watch.sh", "--once", "--host", "http://127.0.0.1:9", "--log", str(tmp_path / "none")
    )
    assert ended.returncode == 2
    assert "no verdict" in ended.stdout
