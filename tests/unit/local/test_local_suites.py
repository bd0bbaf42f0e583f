"""scripts/test: which suites beside each other, what is told of them, and from where generated tests draw."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from scripts.local import suite_report, suite_runs, suites
from scripts.local.home import CHECKOUT
from scripts.local.suite_report import Outcome, Row
from scripts.local.suite_runs import Job

from support import generated, progress


@pytest.mark.parametrize(
    ("failed", "not_run", "ci", "line", "code"),
    [
        ([], {}, True, "Passed: every suite, every test", 0),
        ([], {"no namespaces": 3}, False, "Passed, but did not run: 3 x no namespaces", 0),
        ([], {"no namespaces": 3}, True, "FAILED: did not run: 3 x no namespaces", 1),
        (["unit"], {}, False, "FAILED: unit", 1),
    ],
)
def test_what_did_not_run_is_named_and_fails_on_ci(
    failed: list[str], not_run: dict[str, int], ci: bool, line: str, code: int
) -> None:
    assert suite_report.verdict(failed, not_run, ci=ci) == (line, code)


def test_a_suite_that_wrote_no_report_has_failed(tmp_path: Path) -> None:
    assert suite_report.read_report(tmp_path / "none.xml").failed == 1


def test_a_report_tells_passed_failed_and_skipped_apart(tmp_path: Path) -> None:
    report = tmp_path / "r.xml"
    report.write_text(
        "<testsuites><testsuite><testcase/><testcase><failure/></testcase><testcase><error/></testcase>"
        '<testcase><skipped type="pytest.skip" message="no chromium"/></testcase></testsuite></testsuites>',
        encoding="utf-8",
    )
    assert suite_report.read_report(report) == suite_report.Outcome(
        passed=1, failed=2, not_run=("no chromium",)
    )


def job(name: str, *, waits: bool = False) -> Job:
    return Job(name, (), {}, waits)


def test_a_suite_that_waits_runs_beside_one_that_computes() -> None:
    unit, faults, browser = job("unit"), job("faults", waits=True), job("browser", waits=True)
    assert suite_runs.next_job([unit, faults], []) == unit
    assert suite_runs.next_job([browser, unit], [faults]) == unit
    assert suite_runs.next_job([browser], [faults]) == browser
    assert suite_runs.next_job([job("contract"), browser], [faults, unit]) == browser
    assert suite_runs.next_job([job("contract")], [faults, unit]) == job("contract")


def test_what_is_left_is_told_by_the_last_runs_times() -> None:
    waiting = [job("unit"), job("browser")]
    known = {"faults": 100.0, "unit": 60.0, "browser": 50.0}
    assert suite_runs.left_s(waiting, {"faults": 40.0}, known, 2) == 110.0
    assert suite_runs.left_s(waiting, {"faults": 400.0}, known, 1) == 110.0
    assert suite_runs.left_s([job("new")], {}, known, 2) is None


def test_the_progress_of_a_suite_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "told"
    told = suite_report.Told(path)
    assert told.progress() == suite_report.Progress(0, 0, ())
    lines = [{"total": 3}, {"id": "a::x", "outcome": "passed"}, {"id": "a::y", "outcome": "failed"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"id": "a::z", "out')
    assert told.progress() == suite_report.Progress(3, 2, ("a::y",))
    with path.open("a") as more:
        more.write('come": "failed"}\n')
    assert told.progress() == suite_report.Progress(3, 3, ("a::y", "a::z"))


def test_what_a_suite_starts_need_not_compile_what_it_imports() -> None:
    made = suites.job(
        suites.SUITES[0], suites.Chance(), {"PYTHONDONTWRITEBYTECODE": "1", "HOME": "/h"}, namespaces=True
    )
    assert "PYTHONDONTWRITEBYTECODE" not in made.environ
    assert made.environ["HOME"] == "/h"


def test_a_pytest_that_a_test_starts_is_not_counted() -> None:
    assert progress.VARIABLE not in os.environ


def test_a_failure_is_told_with_the_command_that_repeats_it() -> None:
    chance = suites.Chance(7)
    [line] = suite_report.again(["tests/unit/x.py::test_y[a b]"], chance.words())
    assert line == (
        ".venv/bin/python -m pytest 'tests/unit/x.py::test_y[a b]' --hypothesis-profile=free-seeds --hypothesis-seed=7"
    )


def test_the_table_says_of_each_suite_what_ran_and_why_something_did_not() -> None:
    rows = [
        Row("ok", "unit", Outcome(20, 0, ()), 31.4),
        Row("FAILED", "browser", Outcome(3, 1, ("no chromium", "no chromium")), 61.0),
    ]
    _, unit, browser = (line.split() for line in suite_report.table(rows))
    assert unit == ["ok", "unit", "20", "0", "0", "31"]
    assert browser == ["FAILED", "browser", "3", "1", "2", "61", "no", "chromium"]
    assert suite_report.closing(rows, 92.0) == "1 failed, 23 passed, 2 skipped in 92.00s (1 min 32 s)"


def test_the_suite_draws_the_same_examples_in_every_run_and_a_night_others() -> None:
    generated.register()
    suite, free = settings.get_profile(generated.SUITE), settings.get_profile(generated.FREE)
    assert (suite.derandomize, free.derandomize) == (True, False)
    for profile in (suite, free):
        assert profile.deadline is None
        assert HealthCheck.too_slow in profile.suppress_health_check
    assert suites.Chance().words() == []
    assert suites.Chance().environ() == {"TEST_EXAMPLES_FACTOR": "1", "PYTHONHASHSEED": "0"}
    assert suites.Chance(7, 20).environ() == {"TEST_EXAMPLES_FACTOR": "20", "PYTHONHASHSEED": "7"}
    assert generated.factor({"TEST_EXAMPLES_FACTOR": "20"}) == 20


def drawn(profile: str, number: int | None = None) -> list[int]:
    """What a generated test of that profile tries."""
    tried: list[int] = []

    def tries(value: int) -> None:
        tried.append(value)

    test = settings(settings.get_profile(profile))(given(st.integers())(tries))
    (test if number is None else seed(number)(test))()
    return tried


def test_two_runs_draw_alike_with_a_seed_as_without() -> None:
    assert drawn(generated.SUITE) == drawn(generated.SUITE)
    assert drawn(generated.FREE, 7) == drawn(generated.FREE, 7)
    assert drawn(generated.FREE, 7) != drawn(generated.FREE, 8)
    assert len(drawn(generated.SUITE)) >= generated.EXAMPLES


def test_every_folder_of_tests_is_a_suite() -> None:
    folders = {path.name for path in (CHECKOUT / "tests").iterdir() if any(path.glob("**/test_*.py"))}
    assert folders == set(suites.NAMES)


DETACHES = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)
open(sys.argv[1] + ".part", "w").write(str(child.pid))
__import__("os").rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(3600)
"""
WAITS_FOR = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.02)"


def test_an_interrupted_run_leaves_no_system_that_a_test_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite_runs, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(suite_runs, "REPORTS", tmp_path / "reports")
    told, environ = str(tmp_path / "pid"), dict(os.environ)
    jobs = [
        Job("starts", (sys.executable, "-c", DETACHES, told), environ, waits=True),
        Job("ends", (sys.executable, "-c", WAITS_FOR, told), environ, waits=False),
    ]

    def interrupt(_ran: suite_runs.Ran) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        suite_runs.run_all(jobs, beside=2, ended=interrupt)
    assert not Path(f"/proc/{Path(told).read_text()}/exe").exists()
