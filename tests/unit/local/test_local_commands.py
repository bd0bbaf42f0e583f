from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from loadtests.city import place
from scripts.local import leftovers, traffic, trouble
from scripts.local.home import Home
from scripts.local.logs import Logs, Tail, chosen, readable
from scripts.local.table import HOME_MARK
from scripts.local.trouble import Trouble

from dronedispatch.fleet.city import default_city


def test_only_a_whole_entry_of_the_environment_is_the_mark() -> None:
    assert leftovers.carries_mark(b"A=1\0DRONEDISPATCH_HOME=/a\0", "DRONEDISPATCH_HOME=/a")
    assert not leftovers.carries_mark(b"DRONEDISPATCH_HOME=/ab\0", "DRONEDISPATCH_HOME=/a")


def test_where_ps_alone_lists_the_environment_a_home_with_a_blank_is_itself_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """macOS: the entries stand on one line, with blanks between them."""
    listing = (
        " 11 consul agent DRONEDISPATCH_HOME=/a PATH=/bin\n"
        " 12 consul agent DRONEDISPATCH_HOME=/a b PATH=/bin\n"
        " 13 consul agent PATH=/bin DRONEDISPATCH_HOME=/a\n"
    )
    monkeypatch.setattr(
        leftovers, "subprocess", SimpleNamespace(run=lambda *_, **__: SimpleNamespace(stdout=listing))
    )
    assert leftovers._from_ps("DRONEDISPATCH_HOME=/a") == [11, 13]
    assert leftovers._from_ps("DRONEDISPATCH_HOME=/a b") == [12]


def test_a_process_that_ignores_sigterm_is_ended_and_another_home_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "TERM_WAIT_S", 0.3)
    code = "import signal, sys, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(3600)"
    ours, other = (
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, HOME_MARK: str(tmp_path / name)},
            stdout=subprocess.PIPE,
        )
        for name in ("ours", "other")
    )
    try:
        for child in (ours, other):
            assert child.stdout is not None
            assert child.stdout.readline() == b"up\n"
        assert leftovers.end(Home(tmp_path / "ours")) == 1
        assert ours.wait(120) == -9
        assert other.poll() is None
    finally:
        other.kill()
        for child in (ours, other):
            child.communicate(timeout=600)


def test_a_structured_line_is_shown_as_a_sentence_and_any_other_as_it_is() -> None:
    assert (
        readable('{"event": "serving", "level": "info", "port": 5, "service": "lb"}') == "info serving port=5"
    )
    assert readable("Traceback") == "Traceback"
    assert readable("[1]") == "[1]"


def test_a_service_name_means_the_logs_of_all_its_processes(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.logs.mkdir()
    for name in ("gateway-1", "gateway-2", "lb-1", "supervisord"):
        home.log(name).touch()
    assert [path.stem for path in chosen(home, ["gateway"])] == ["gateway-1", "gateway-2"]
    assert [path.stem for path in chosen(home, ["lb-1"])] == ["lb-1"]
    with pytest.raises(Trouble, match="there are gateway-1"):
        chosen(home, ["gatewax"])


def test_a_followed_log_goes_on_after_its_rotation(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("one\ntwo\n", encoding="utf-8")
    with contextlib.closing(Tail(path)) as tail:
        assert tail.last(1) == ["two\n"]
        path.rename(tmp_path / "a.log.1")
        path.write_text("three\n", encoding="utf-8")
        assert tail.new() == ["three\n"]
        assert tail.new() == []


def test_a_process_that_comes_while_its_service_is_followed_is_followed_from_its_first_line(
    tmp_path: Path,
) -> None:
    """scripts/scale gateway 2, beside scripts/logs -f gateway."""
    home = Home(tmp_path)
    home.logs.mkdir()
    home.log("gateway-1").write_text("old\n", encoding="utf-8")
    with contextlib.closing(Logs(home, ["gateway"])) as logs:
        assert logs.last(20) == [("gateway-1", ["old\n"])]
        home.log("gateway-2").write_text("first\n", encoding="utf-8")
        home.log("lb-1").write_text("not asked for\n", encoding="utf-8")
        assert [said for said in logs.new() if said[1]] == [("gateway-2", ["first\n"])]
        home.log("gateway-2").unlink()  # scripts/up --fresh, from elsewhere
        assert [said for said in logs.new() if said[1]] == []
        home.log("gateway-2").write_text("again\n", encoding="utf-8")
        assert [said for said in logs.new() if said[1]] == [("gateway-2", ["again\n"])]


def test_demonstration_orders_are_the_same_for_the_same_seed_and_lie_in_the_city() -> None:
    city = default_city()
    first, again = (traffic.order(city, random.Random(7)) for _ in range(2))
    assert first == again
    assert all(city.why_not_here(place(city, random.Random(seed))) is None for seed in range(200))


def test_a_package_that_only_the_development_set_has_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trouble, "interruptible", lambda: None)  # the signals of this process are the suite's

    def command() -> int:
        raise ModuleNotFoundError("No module named 'psutil'", name="psutil")

    with pytest.raises(SystemExit) as ended:
        trouble.run_command(command, Path)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: psutil is not installed: run scripts/install-tools --dev\n"


def test_more_lines_than_any_log_has_are_all_of_them(tmp_path: Path) -> None:
    log = tmp_path / "gateway-1.log"
    log.write_text("one\ntwo\n", encoding="utf-8")
    tail = Tail(log)
    assert tail.last(10**30) == ["one\n", "two\n"]
    tail.close()
