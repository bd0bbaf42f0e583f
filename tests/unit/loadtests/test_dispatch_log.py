"""An interrupted benchmark goes on where it was, and never with results of other code."""

from __future__ import annotations

from pathlib import Path

import pytest
from loadtests.bench import dispatch, dispatch_log
from loadtests.bench.dispatch_log import Case, code_digest, known

CASES = [Case(name, 24.0, seed, 12, 6, False, False, None) for seed in (0, 1) for name in ("B1", "ours")]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "dispatch.jsonl"


def test_what_was_known_is_not_run_again_and_the_rest_is(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = dispatch.run_all(CASES, 1, log)
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:4]) + lines[5][:40])  # two results, and one that was cut short
    assert list(known(log, CASES, code_digest())) == CASES[:2]
    resumed = dispatch.run_all(CASES, 1, log, resume=True)
    assert [run.mean for run in resumed] == [run.mean for run in whole]
    assert resumed[:2] == whole[:2]  # to the time of a round: they were read, not measured again
    monkeypatch.setattr(dispatch, "run_case", None)
    assert dispatch.run_all(CASES, 1, log, resume=True) == resumed


def test_results_of_other_code_or_another_benchmark_are_not_taken(log: Path) -> None:
    dispatch.run_all(CASES[:1], 1, log)
    assert known(log, CASES, "another") == {}
    assert known(log, CASES[1:], code_digest()) == {}
    assert list(known(log, CASES, code_digest())) == CASES[:1]


def test_without_resume_a_benchmark_begins_anew(log: Path) -> None:
    dispatch.run_all(CASES[:1], 1, log)
    dispatch.run_all(CASES[1:2], 1, log)
    assert list(dispatch_log.known(log, CASES, code_digest())) == CASES[1:2]
