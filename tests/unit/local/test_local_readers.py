"""Whoever reads what a command says may go away: a pager that has ended, a closed terminal, a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from scripts.local import trouble, up
from scripts.local.home import CHECKOUT
from scripts.local.options import parse
from scripts.local.system import System

from support.commands import ran


def test_progress_that_nobody_reads_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """`scripts/up | tee FILE`: a Ctrl-C ends tee first, and the system is to be stopped all the same."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        up.say("Stopping")
        up.say("Stopped; the data is kept.")


def test_a_second_interruption_that_nobody_reads_of_stops_no_tidying_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(_descriptor: int, _words: bytes) -> int:
        raise BrokenPipeError

    monkeypatch.setattr("os.write", gone)
    trouble._interrupt_no_more(signal.SIGINT, None)


def test_a_start_that_the_operating_system_ends_is_stopped_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """supervisord is killed while it starts: the next question to it is refused."""

    def killed(_self: System) -> None:
        raise ConnectionRefusedError

    stopped: list[System] = []
    monkeypatch.setattr(System, "check_ports", lambda *_: None)
    monkeypatch.setattr(System, "write_files", lambda *_: None)
    monkeypatch.setattr(System, "launch", killed)
    monkeypatch.setattr(up, "stop", stopped.append)
    with pytest.raises(ConnectionRefusedError):
        up.bring_up(parse(["--home", str(tmp_path / "home")]), {})
    assert len(stopped) == 1


@pytest.mark.parametrize("command", ["scripts/down", "scripts/status", ".venv/bin/dronedispatch orders list"])
def test_a_command_without_a_standard_output_ends_as_with_one(tmp_path: Path, command: str) -> None:
    done = shell(f"{command} --home '{tmp_path}' >&-")
    assert done.returncode == (0 if command == "scripts/down" else 1)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["install-tools --check", "setup/venv --check", "test support"])
def test_a_set_up_without_a_standard_output_ends_as_with_one(command: str) -> None:
    done, shown = shell(f"scripts/{command} >&-"), shell(f"scripts/{command}")
    assert (done.returncode, done.stderr) == (shown.returncode, shown.stderr)


@pytest.mark.parametrize(
    "command",
    [
        "scripts/down",
        "scripts/setup/venv --check",
        ".venv/bin/dronedispatch completion bash",
        ".venv/bin/dronedispatch",
    ],
)
def test_an_output_that_takes_nothing_is_one_sentence(tmp_path: Path, command: str) -> None:
    done = shell(f"DD_HOME='{tmp_path}' {command} >/dev/full")
    assert done.returncode == 1
    assert "standard output" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_failure_says_nothing_on_an_output_that_takes_it(tmp_path: Path) -> None:
    """A home that is a folder for nobody: scripts/status --json is read by programs."""
    (tmp_path / "system.json").mkdir()
    done = shell(f"scripts/status --json --home '{tmp_path}'")
    assert (done.returncode, done.stdout) == (1, "")


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return ran(["sh", "-c", command], cwd=CHECKOUT)
