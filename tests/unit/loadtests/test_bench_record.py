"""scripts/bench record: an entry is the benchmark's own words, with machine, date, commit and command."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from loadtests.bench import runs
from loadtests.bench.record import NotRecorded, entry_of, figure_of, placed
from scripts.local.bench import NAMES
from scripts.local.words import positive

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
    printed = "warming up\nPOST  p50   12 ms\nassigned p95 90 ms\n"
    assert figure_of(printed, "p50|p95") == "POST p50 12 ms; assigned p95 90 ms"


def test_a_tables_frame_is_no_part_of_the_figure() -> None:
    row = "│ memory for 1,000 clients  │ +17.9 MB │ ok │\n"
    assert figure_of(row, "memory") == "memory for 1,000 clients, +17.9 MB, ok"


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


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """`scripts/bench probe [--cores N]`: prints the number, and misses its target above two."""

    def parsed(words: Sequence[str]) -> argparse.Namespace:
        parser = argparse.ArgumentParser(prog="scripts/bench probe")
        parser.add_argument("--cores", type=positive(int), default=1)
        return parser.parse_args(words)

    def main(options: argparse.Namespace) -> int:
        sys.stdout.write(f"{options.cores} cores\n")
        return 1 if options.cores > 2 else 0

    module = ModuleType("loadtests.bench.probe")
    module.__dict__.update(parsed=parsed, main=main)
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize(("cores", "code"), [(2, 0), (3, 1)])
def test_a_run_is_noted_with_its_words_and_its_end(
    probe: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cores: int,
    code: int,
) -> None:
    monkeypatch.setattr(runs, "turn", contextlib.nullcontext)  # another's run may hold the machine's own
    assert runs.run("probe", ["--cores", str(cores)], tmp_path) == code

    note = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert note["exit"] == code
    assert note["command"] == f"scripts/bench probe --cores {cores}"
    assert "cores" in note["machine"]
    kept = (tmp_path / "output.txt").read_text(encoding="utf-8")
    assert kept == capsys.readouterr().out == f"{cores} cores\n"


@pytest.mark.parametrize("words", [["--cores", "0"], ["--cores", "few"], ["--no-such"], ["--help"]])
def test_what_measures_nothing_waits_for_no_turn_and_leaves_the_last_run_as_it_is(
    probe: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(runs, "turn", lambda: pytest.fail("waits for the machine's turn"))
    with pytest.raises(SystemExit):
        runs.run("probe", words, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_reads_its_options_before_it_measures(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(f"loadtests.bench.{name.replace('-', '_')}")
    assert module.main.__code__.co_argcount >= 1
    for words, code, said in ((["--help"], 0, "usage: "), (["--no-such"], 2, "--no-such")):
        with pytest.raises(SystemExit) as ended:
            module.parsed(words)
        assert ended.value.code == code
        told = capsys.readouterr()
        assert said in told.out + told.err


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("lb", "--loads", "get,put"),
        ("lb", "--connections", "16,many"),
        ("lb", "--connections", "0"),
        ("kv", "--parts", "peers,all"),
        ("kv", "--peers", "mongo"),
        ("fleet", "--drones", "0"),
        ("orders", "--seconds", "-1"),
        ("orders", "--seconds", "nan"),
        ("chaos", "--minutes", "inf"),
        ("page_live", "--minutes", "0"),
    ],
)
def test_a_value_with_which_nothing_can_be_measured_is_refused(
    name: str, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        importlib.import_module(f"loadtests.bench.{name}").parsed([option, value])
    assert f"argument {option}: " in capsys.readouterr().err
