"""scripts/load and tests/slo_watch.sh as people run them, against a gateway whose orders a stand-in delivers at once."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT

from dronedispatch.fleet.documents import stamp
from dronedispatch.runtime.clock import SystemClock
from support.aside import aside
from support.commands import ran
from support.load_town import NO_MATTER_HOW_LATE, NO_MATTER_HOW_SLOW, answers, asked, planted, town, web_ui
from support.waiting import wait_until


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with aside(town) as address:
        yield address


@pytest.fixture(scope="module")
def an_hour_behind() -> Iterator[str]:
    with aside(partial(town, -3600.0)) as address:
        yield address


def run(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return ran([CHECKOUT / command, *arguments])


UNTIL_12_ORDERS = ("--minutes", "20", "--orders", "12", "--orders-per-minute", "300")


def load(url: str, *more: str, test: Sequence[str] = UNTIL_12_ORDERS) -> subprocess.CompletedProcess[str]:
    return run("scripts/load", "--host", url, "--headless", *test, *more)


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
    ended = load(url, "--slo", str(planted(tmp_path, NO_MATTER_HOW_LATE)), test=too_much)
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
