"""scripts/bench record: an entry is the benchmark's own words, with machine, date, commit and command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from loadtests.bench import runs
from loadtests.bench.record import NotRecorded, entry_of, figure_of, placed

NOTE: dict[str, Any] = {
    "command": "scripts/bench orders --rate 3",
    "began": "2026-02-03T04:05:06+00:00",
    "machine": "2 cores",
    "commit": "1a2b3c4d",
    "exit": 0,
}
PAGE = """# Benchmarks

## The store

* **batched PUTs**: 49,600 a second
  (2026-01-01, 0a0a0a0a, 2 cores; `scripts/bench kv`)

## The whole system

* **orders**: POST p50 23 ms
  (2026-01-01, 0a0a0a0a, 2 cores; `scripts/bench orders`)
"""


def test_the_figure_is_what_the_benchmark_printed() -> None:
    assert figure_of("warming up\nPOST  p50   12 ms\nassigned p95 90 ms\n", "p50|p95") == (
        "POST p50 12 ms; assigned p95 90 ms"
    )


def test_a_tables_frame_is_no_part_of_the_figure() -> None:
    assert figure_of("│ memory for 1,000 clients  │ +17.9 MB │ ok │\n", "memory") == (
        "memory for 1,000 clients, +17.9 MB, ok"
    )


@pytest.mark.parametrize(("output", "reason"), [("nothing", "no line"), ("p50 " * 400, "too much")])
def test_no_figure_is_made_up(output: str, reason: str) -> None:
    with pytest.raises(NotRecorded, match=reason):
        figure_of(output, "p50")


def test_an_entry_names_date_commit_machine_and_command() -> None:
    assert entry_of("orders", "POST p50 12 ms", NOTE) == (
        "* **orders**: POST p50 12 ms\n  (2026-02-03, 1a2b3c4d, 2 cores;\n  `scripts/bench orders --rate 3`)\n"
    )


def test_a_failed_run_is_no_figure() -> None:
    with pytest.raises(NotRecorded, match="exit code 1"):
        entry_of("orders", "POST p50 12 ms", {**NOTE, "exit": 1})


def test_a_later_run_takes_the_place_of_the_one_with_its_title() -> None:
    entry = entry_of("orders", "POST p50 12 ms", NOTE)
    page = placed(PAGE, "The whole system", "orders", entry)
    assert page == PAGE.partition("* **orders**")[0] + entry


@pytest.mark.parametrize("section", ["The store", "The whole system"])
def test_a_new_title_comes_last_in_its_section(section: str) -> None:
    entry = entry_of("new", "1 ms", NOTE)
    page = placed(PAGE, section, "new", entry)
    before, _, after = page.partition(entry)
    assert before.rpartition("## ")[2].startswith(section)
    assert not after or after.startswith("\n## ")
    assert page.replace(entry, "") == PAGE


def test_a_section_that_is_not_there_is_said() -> None:
    with pytest.raises(NotRecorded, match="no section"):
        placed(PAGE, "Dispatch", "new", "* **new**: 1\n")


def test_a_run_is_noted_with_its_words_and_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = runs.run("finished", ["--help"], tmp_path)

    note = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert code == note["exit"] == 0
    assert note["command"] == "scripts/bench finished --help"
    assert "cores" in note["machine"]
    assert (tmp_path / "output.txt").read_text(encoding="utf-8") == capsys.readouterr().out
