"""What went out of the rate that was asked for, exact times, and a clock that is off."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from loadtests.offering import GRACE_S, Schedule, Tally, acts_per_s, offered_share, together
from loadtests.server_clock import Offset, interval, measure, narrowed
from loadtests.slo import Line
from loadtests.verdict_page import add_to_file, rows, with_verdict


def live(rate: float, act_s: float, until_s: float, seed: int = 1) -> tuple[int, float]:
    """(acts, share of the rate that went out) of one customer whose every act takes `act_s`."""
    now_s, acts = 100.0, 0
    schedule = Schedule(random.Random(seed), now_s)
    while now_s < 100.0 + until_s:
        now_s += schedule.wait_s(rate, now_s)
        now_s += act_s
        acts += 1
    tally = Tally()
    tally.attend([schedule], 100.0 + until_s)
    share = offered_share(tally)
    assert share is not None
    return acts, share


def test_slow_answers_do_not_slow_the_demand_down() -> None:
    quick, _ = live(rate=2.0, act_s=0.001, until_s=2000.0)
    slow, share = live(rate=2.0, act_s=0.4, until_s=2000.0)
    assert slow == pytest.approx(quick, rel=0.02)
    assert share > 0.95


@pytest.mark.parametrize(("act_s", "share"), [(1.0, 0.5), (2.0, 0.25), (5.0, 0.1)])
def test_a_customer_who_cannot_keep_up_offers_the_share_that_went_out(act_s: float, share: float) -> None:
    acts, said = live(rate=2.0, act_s=act_s, until_s=4000.0)
    assert acts == pytest.approx(4000.0 / act_s, rel=0.02)
    assert said == pytest.approx(share, abs=0.03)


def test_what_is_due_just_now_is_no_loss_and_what_is_due_after_the_end_neither() -> None:
    schedule = Schedule(random.Random(1), 0.0)
    assert schedule.spent(GRACE_S) == (GRACE_S, 0.0)
    assert schedule.spent(10.0) == (10.0, 10.0)
    schedule.end(0.5)
    assert schedule.spent(10.0) == (0.5, 0.0)


def test_counting_anew_forgets_what_was_lost_before() -> None:
    schedule = Schedule(random.Random(1), 0.0)
    schedule.wait_s(1000.0, 60.0)
    assert schedule.spent(60.0)[1] > 50.0
    schedule.begin_anew(60.0)
    duty_s, lost_s = schedule.spent(60.0)
    assert duty_s == 0.0
    assert lost_s == pytest.approx(5.0, abs=0.1)


def test_nobody_on_duty_is_no_share() -> None:
    assert offered_share(Tally()) is None


@pytest.mark.parametrize("customers", [1, 7, 100])
def test_all_customers_together_have_the_rate_that_was_asked_for(customers: int) -> None:
    assert customers * acts_per_s(60.0, 5, customers) == pytest.approx(5.0)


def test_times_come_from_workers_exactly_and_once() -> None:
    worker, master = Tally(), Tally()
    worker.took(504.25, failed=False)
    worker.took(None, failed=True)
    first = worker.report(0)
    worker.took(499.75, failed=False)
    second = worker.report(1)
    for report in (first, second, second):
        master.hear(report)
    whole = together([master, Tally()])
    assert (whole.requests, whole.failures, whole.posts_ms.tolist()) == (3, 1, [504.25, 499.75])


def test_a_worker_that_begins_anew_replaces_what_it_said_before() -> None:
    master, again = Tally(), Tally()
    before = {"requests": 9, "failures": 9, "duty_s": 1.0, "lost_s": 1.0, "posts_told": 0, "posts_ms": [1.0]}
    master.hear(before)
    master.hear(again.report(0))
    assert (master.requests, list(master.posts_ms)) == (0, [])


START = datetime(2026, 1, 1, 12, 0, 0, 870_000, tzinfo=UTC)


def looking(ahead_s: float, answer_s: float = 0.02) -> Offset:
    """This machine's clock at START, a server whose clock is `ahead_s` ahead of it and which says whole seconds."""
    at = [START]

    def look() -> str:
        at[0] += timedelta(seconds=answer_s / 2)
        said = format_datetime(at[0] + timedelta(seconds=ahead_s), usegmt=True)
        at[0] += timedelta(seconds=answer_s / 2)
        return said

    def pause(seconds: float) -> None:
        at[0] += timedelta(seconds=seconds)

    return measure(look, lambda: at[0], pause)


@pytest.mark.parametrize("ahead_s", [-3600.0, -2.5, -0.6, 0.6, 1.0, 37.2, 86_400.0])
def test_a_clock_that_is_off_is_found_within_a_fifth_of_a_second(ahead_s: float) -> None:
    found = looking(ahead_s)
    assert found.low_s <= ahead_s <= found.high_s
    assert found.best_s == pytest.approx(ahead_s, abs=0.2)
    assert ("behind" if ahead_s > 0 else "ahead of") in (found.sentence() or "")


@pytest.mark.parametrize("ahead_s", [0.0, 0.05, -0.05])
def test_a_clock_that_is_right_as_far_as_can_be_seen_is_not_corrected(ahead_s: float) -> None:
    found = looking(ahead_s)
    assert (found.best_s, found.sentence()) == (0.0, None)
    assert found.low_s <= ahead_s


@pytest.mark.parametrize("ahead_s", [-3600.0, -2.5, -0.05, 0.0, 0.05, 0.6, 37.2])
def test_nothing_that_the_server_stamps_from_now_on_is_from_before_the_test(ahead_s: float) -> None:
    began = looking(ahead_s).earliest(START)
    assert timedelta() <= START + timedelta(seconds=ahead_s) - began < timedelta(seconds=0.3)


def test_looks_that_contradict_each_other_leave_the_whole_range() -> None:
    assert narrowed([Offset(0.0, 1.0), Offset(5.0, 6.0)]) == Offset(0.0, 6.0)


def test_a_date_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        interval("yesterday", START, START)


LINES = [Line("POST p95", "504 ms", "500 ms", False), Line("orders <b>", "9", "at least 5", True)]


def test_the_tab_says_the_verdict_first_and_then_each_threshold() -> None:
    found = rows("violated: POST p95 (504 ms)", LINES)
    assert [row["verdict"] for row in found] == ["VIOLATED", "VIOLATED", "ok"]
    assert found[0]["measured"] == "violated: POST p95 (504 ms)"


def test_without_lines_there_is_no_verdict() -> None:
    assert rows("no verdict: nothing ran", [])[0]["verdict"] == "no verdict"


@pytest.fixture(params=["", "<script>x('<body class=a>')</script>"])
def report(request: pytest.FixtureRequest) -> str:
    return f"<html><head>{request.param}</head>\n<body class='b'>\n<div id='root'></div></body></html>"


def test_the_report_begins_with_the_verdict_in_its_body(report: str) -> None:
    found = with_verdict(report, "violated", LINES)
    head, _, body = found.partition("<body class='b'>")
    assert body.index("slo-verdict") < body.index("root")
    assert "slo-verdict" not in head
    assert "&lt;b&gt;" in body


def test_a_report_of_an_earlier_test_is_left_alone(tmp_path: Path, report: str) -> None:
    path = tmp_path / "report.html"
    assert not add_to_file(path, 0, "violated", LINES)
    path.write_text(report)
    written_ns = path.stat().st_mtime_ns
    assert not add_to_file(path, written_ns + 1, "violated", LINES)
    assert path.read_text() == report
    assert add_to_file(path, written_ns, "violated", LINES)
    assert "slo-verdict" in path.read_text()
