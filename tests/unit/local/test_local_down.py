"""scripts/down: interrupted, on a disk that fails, with processes that nothing ends."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from scripts.local import broker, down, leftovers
from scripts.local.home import Home
from scripts.local.ports import Ports
from scripts.local.table import HOME_MARK
from scripts.local.trouble import Trouble


@pytest.fixture
def left_over(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the home that runs."""
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"],
        env={**os.environ, HOME_MARK: str(tmp_path)},
        stdin=subprocess.PIPE,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate(timeout=600)


def called(home: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Its exit code for this home; signals and output are left as they are."""
    monkeypatch.setattr("scripts.local.trouble.interruptible", lambda: None)
    monkeypatch.setattr("scripts.local.trouble.output.ensure", lambda: None)
    monkeypatch.setattr("scripts.local.trouble.output.takes_nothing", lambda: False)
    monkeypatch.setattr("sys.argv", ["scripts/down", "--home", str(home)])
    with pytest.raises(SystemExit) as ended:
        down.main()
    return ended.value.code


def test_who_interrupts_it_is_told_how_the_rest_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_report: object) -> None:
        raise KeyboardInterrupt

    running = SimpleNamespace(supervisor=SimpleNamespace(answers=lambda: True), stop=stop)
    monkeypatch.setattr(Home, "recall", lambda _home: "options")
    monkeypatch.setattr("scripts.local.system.of_home", lambda _home: running)
    assert called(tmp_path, monkeypatch) == 130
    assert (
        capsys.readouterr().err
        == f"interrupted: what still runs is stopped by scripts/down --home {tmp_path}\n"
    )


def test_on_a_disk_that_fails_what_runs_is_ended_and_the_reason_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    left_over: subprocess.Popen[bytes],
) -> None:
    def fails(_home: Home) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(tmp_path / "lock"))

    monkeypatch.setattr(Home, "claim", fails)
    assert called(tmp_path, monkeypatch) == 0
    assert left_over.wait(120) != 0
    said = capsys.readouterr().out
    assert said.startswith(
        f"Ended 1 process(es) at once: the disk that holds {tmp_path} fails (Input/output error)"
    )


def test_on_a_disk_that_fails_and_has_nothing_running_the_reason_is_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_home: Home) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(tmp_path / "system.json"))

    monkeypatch.setattr(Home, "recall", fails)
    assert called(tmp_path, monkeypatch) == 1
    assert capsys.readouterr().err.startswith(f"error: the disk that holds {tmp_path} fails")


def test_a_home_whose_memory_is_damaged_can_be_stopped(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    left_over: subprocess.Popen[bytes],
) -> None:
    """scripts/up --fresh, which the sentence names after it, refuses while it runs."""
    (tmp_path / "system.json").write_text("{", encoding="utf-8")
    assert called(tmp_path, monkeypatch) == 0
    assert left_over.wait(120) != 0
    assert "system.json is damaged" in capsys.readouterr().out


def test_a_home_whose_memory_is_damaged_and_where_nothing_runs_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "system.json").write_text("{", encoding="utf-8")
    assert called(tmp_path, monkeypatch) == 0
    assert capsys.readouterr().out == f"Nothing runs in {tmp_path}.\n"


def test_another_command_at_work_is_not_disturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_over: subprocess.Popen[bytes]
) -> None:
    with Home(tmp_path).claim():
        assert called(tmp_path, monkeypatch) == 1
    assert left_over.poll() is None


def test_a_process_that_not_even_sigkill_ends_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits in the kernel for a disk that does not answer."""
    monkeypatch.setattr(leftovers, "TERM_WAIT_S", 0.0)
    monkeypatch.setattr(leftovers, "KILL_WAIT_S", 0.0)
    monkeypatch.setattr(leftovers, "pids_with", lambda _mark: [2**22 + 1])
    with pytest.raises(Trouble, match=rf"{2**22 + 1}.* not even .*SIGKILL.*ps "):
        leftovers.end_with("A=1")


def test_a_port_mapper_that_does_not_answer_keeps_nobody_from_ending_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epmd = tmp_path / "epmd"
    epmd.write_text("#!/bin/sh\nexec tail -f /dev/null\n", encoding="ascii")
    epmd.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(broker, "EPMD_WAIT_S", 0.1)
    broker.end_port_mapper(Ports())
