"""The verdict: what it says of what was measured, and that it can say no."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from loadtests import access_log
from loadtests.load import locust_arguments, orders_per_minute, parser
from loadtests.slo import (
    Line,
    Measured,
    Slo,
    exit_code,
    judge,
    load_slo,
    mean,
    percentile,
    sentence,
    spans,
    table,
)

SLO = Slo(
    failures_share_max=0.01,
    post_p95_ms_max=100.0,
    to_assigned_p95_s_max=2.0,
    to_delivered_p95_s_max=600.0,
    orders_min=3,
    offered_share_min=0.95,
)
TIMES: dict[str, Any] = {"post_p95_ms": 20.0, "to_assigned_s": [0.1] * 20, "to_delivered_s": [5.0] * 20}
GOOD = Measured(requests=1000, failures=1, waiting=0, speed=60.0, offered_share=1.0, **TIMES)


def judged(slo: Slo = SLO, **changes: Any) -> list[Line]:
    """What is said of a run that was good but for the changes."""
    return judge(slo, dataclasses.replace(GOOD, **changes))


def test_what_holds_ends_in_0() -> None:
    lines = judged()
    assert [line.holds for line in lines] == [True] * 6
    assert exit_code(lines) == 0


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"failures": 11}, "failed requests"),
        ({"post_p95_ms": 101.0}, "POST p95"),
        ({"to_assigned_s": [0.1] * 18 + [3.0] * 2}, "created -> assigned p95"),
        ({"to_delivered_s": [11.0] * 20}, "created -> delivered p95"),
    ],
)
def test_each_violation_is_seen_alone(changes: dict[str, Any], name: str) -> None:
    lines = judged(**changes)
    assert [line.name for line in lines if line.holds is False] == [name]
    assert exit_code(lines) == 1
    assert "VIOLATED" in table(lines)


@pytest.mark.parametrize("broken", [{"offered_share": 0.949}, {"broken": ("a clock was set meanwhile",)}])
@pytest.mark.parametrize("also", [{}, {"failures": 900}])
def test_a_run_that_measured_something_else_is_invalid_whatever_it_measured(
    broken: dict[str, Any], also: dict[str, Any]
) -> None:
    lines = judged(**broken, **also)
    assert exit_code(lines) == 2
    assert sentence(lines).startswith("invalid")
    assert "INVALID" in table(lines)


@pytest.mark.parametrize("value", [504.0, 500.04, 500.0000001, 100.5])
def test_what_is_over_the_threshold_is_violated_and_shown_so(value: float) -> None:
    limit = 100.0 if value < 500 else 500.0
    lines = judged(dataclasses.replace(SLO, post_p95_ms_max=limit), post_p95_ms=value)
    [line] = [line for line in lines if line.name == "POST p95"]
    assert line.holds is False
    assert float(line.measured.removesuffix(" ms")) > limit


def test_what_is_exactly_the_threshold_holds() -> None:
    assert exit_code(judged(post_p95_ms=100.0, to_assigned_s=[2.0] * 20)) == 0


def test_a_share_of_failures_just_over_the_threshold_is_not_shown_as_the_threshold() -> None:
    lines = judged(requests=100_000, failures=1001)
    [line] = [line for line in lines if line.name == "failed requests"]
    assert (line.holds, line.measured) == (False, "1.001% (1001 of 100000)")


def test_too_few_orders_are_no_success() -> None:
    assert exit_code(judged(to_assigned_s=[0.1] * 2, to_delivered_s=[1.0] * 2)) == 2


def test_no_request_at_all_is_no_success() -> None:
    assert exit_code(judged(requests=0, failures=0, post_p95_ms=None)) == 2


def test_the_delivery_threshold_is_divided_by_the_fleets_speed() -> None:
    for speed, code in ((1.0, 0), (2.0, 1)):
        assert exit_code(judged(to_delivered_s=[500.0] * 20, speed=speed)) == code


def test_an_order_on_its_way_counts_with_its_age_and_a_cancelled_one_not_at_all() -> None:
    now = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)
    orders = [
        order("delivered", "2026-01-01T00:00:01.500Z", "2026-01-01T00:05:00.000Z"),
        order("assigned", "2026-01-01T00:00:02.000Z"),
        order("pending"),
        order("cancelled"),
    ]
    assigned, delivered, waiting = spans(orders, now)
    assert assigned == [1.5, 2.0, 600.0]
    assert delivered == [300.0, 600.0, 600.0]
    assert waiting == 2


def test_percentiles_are_by_nearest_rank() -> None:
    assert percentile([], 0.95) is None
    assert percentile([7.0], 0.95) == 7.0
    assert percentile(range(1, 101), 0.95) == 95
    assert percentile(range(1, 21), 0.95) == 19
    assert (mean([]), mean([1.0, 3.0])) == (None, 2.0)


def test_the_data_file_is_read_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    assert load_slo().orders_min > 0
    for text in ("post_p95_ms_max = ", "colour = 3"):
        path = tmp_path / "slo.toml"
        path.write_text(text)
        with pytest.raises(ValueError, match=r"slo\.toml"):
            load_slo(path)


TEXT = '2026-11-24T06:20:45.465Z 127.0.0.1 "POST /deliveries?a=1 HTTP/1.1" 201 116/212 0/0/0/7/8 gateway-1 1 ok id-1\n'
JSON = (
    '{"time":"2026-11-24T06:20:45.465Z","client":"::1","request":"POST /deliveries HTTP/1.1","status":201,'
    '"bytes_in":1,"bytes_out":2,"request_ms":0,"queue_ms":0,"connect_ms":0,"response_ms":7,"total_ms":8,'
    '"upstream":"gateway-1","tries":1,"ended":"ok","request_id":"x"}\n'
)


@pytest.mark.parametrize("line", [TEXT, JSON])
def test_both_forms_of_the_access_log_are_read(line: str) -> None:
    found = access_log.parse(line)
    assert found is not None
    assert (found.method, found.path, found.status, found.total_ms) == ("POST", "/deliveries", 201, 8.0)
    assert not found.failed


@pytest.mark.parametrize("line", ["", "nonsense\n", "{}\n", "{\n", TEXT.replace("2026-11", "2026-99")])
def test_what_is_no_entry_is_passed_over(line: str) -> None:
    assert access_log.parse(line) is None


def test_a_5xx_and_a_missing_answer_are_failures_and_a_client_that_left_is_none() -> None:
    lines = [
        TEXT.replace(" 201 ", " 503 "),
        TEXT.replace(" 201 ", " -1 ").replace(" ok ", " upstream_reset "),
        TEXT.replace(" 201 ", " -1 ").replace(" ok ", " client_abort "),
        TEXT.replace(" 201 ", " 422 "),
        TEXT.replace("06:20:45", "06:19:00"),
    ]
    found = access_log.since(lines, datetime(2026, 11, 24, 6, 20, tzinfo=UTC))
    assert [request.failed for request in found] == [True, True, False, False]


def test_the_tail_of_a_log_begins_with_a_whole_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "access.log"
    path.write_text(TEXT * 10)
    monkeypatch.setattr(access_log, "TAIL_BYTES", len(TEXT) * 3 + 10)
    assert list(access_log.tail(path)) == [TEXT] * 3


def test_the_web_ui_is_the_default_and_a_headless_run_has_an_end() -> None:
    here = ["--host", "http://127.0.0.1:8080"]
    assert "--web-port" in locust_arguments(parser().parse_args(here))
    assert "--orders-per-minute" in locust_arguments(parser().parse_args([*here, "--orders-per-minute", "5"]))
    headless = locust_arguments(parser().parse_args([*here, "--headless", "--minutes", "0.5"]))
    assert headless[headless.index("--run-time") + 1] == "30s"
    assert "--web-port" not in headless


def test_several_processes_and_a_report_are_locusts_own_options() -> None:
    words = ["--processes", "2", "--html", "out.html"]
    arguments = locust_arguments(parser().parse_args(["--host", "http://127.0.0.1:8080", *words]))
    assert arguments[arguments.index("--processes") + 1] == "2"
    assert arguments[arguments.index("--html") + 1] == "out.html"


def test_the_load_fits_the_fleet_and_is_enough_for_a_verdict() -> None:
    assert orders_per_minute(72, 60.0, 1.0) == pytest.approx(93.6)
    assert orders_per_minute(36, 1.0, 1.0) == 12.0
    assert orders_per_minute(36, 1.0, 0.5) == 24.0


def order(status: str, assigned: str | None = None, delivered: str | None = None) -> dict[str, object]:
    created, last = "2026-01-01T00:00:00.000Z", "2026-01-01T00:04:00.000Z"  # the first assignment counts
    history = [("pending", created), *[("assigned", at) for at in (assigned, last) if assigned]]
    return {
        "status": status,
        "created_at": created,
        "assigned_at": last,
        "history": [{"to": to, "at": at} for to, at in history],
        "delivered_at": delivered,
    }
