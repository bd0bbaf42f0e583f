"""scripts/scale: what was interrupted is told, and finished by the next."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from scripts.local import scale
from scripts.local.home import Home
from scripts.local.options import Options
from scripts.local.supervisor import State
from scripts.local.system import System, remember


class Supervisord:
    """Knows two gateways, of which the second one was never started."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def answers(self) -> bool:
        return True

    def states(self) -> list[State]:
        return [State("gateway-1", "running", 1, 60, ""), State("gateway-2", "stopped", 0, 0, "")]

    def stop(self, name: str) -> None:
        raise AssertionError(f"{name} is to be stopped")

    def adopt(self, _config: str) -> None:
        """They are known already."""

    def start(self, name: str) -> None:
        self.started.append(name)


@pytest.fixture
def supervisord(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervisord:
    """That of a home which remembers both."""
    one = Supervisord()
    monkeypatch.setattr("scripts.local.system.Supervisor", lambda _home: one)
    monkeypatch.setattr("scripts.local.consul.binary", lambda: Path("/bin/consul"))
    remember(System(Home(tmp_path), Options(gateways=2), own_broker=False))
    return one


def called(home: Path, monkeypatch: pytest.MonkeyPatch, watch: object) -> object:
    """Its exit code; signals and output are left as they are."""
    monkeypatch.setattr(scale, "Watch", watch)
    monkeypatch.setattr("scripts.local.trouble.interruptible", lambda: None)
    monkeypatch.setattr("scripts.local.trouble.output.ensure", lambda: None)
    monkeypatch.setattr("sys.argv", ["scripts/scale", "gateway", "2", "--home", str(home)])
    with pytest.raises(SystemExit) as ended:
        scale.main()
    return ended.value.code


def test_the_same_number_again_starts_what_an_interrupted_one_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, supervisord: Supervisord
) -> None:
    waited: list[str] = []
    watch = SimpleNamespace(wait=waited.extend)
    assert called(tmp_path, monkeypatch, lambda *_: watch) == 0
    assert "gateway-2" in supervisord.started
    assert waited == ["gateway-1", "gateway-2"]


def test_who_interrupts_it_is_told_what_goes_on_and_what_finishes_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    supervisord: Supervisord,
) -> None:
    def interrupted(_names: list[str]) -> None:
        raise KeyboardInterrupt

    watch = SimpleNamespace(wait=interrupted)
    assert called(tmp_path, monkeypatch, lambda *_: watch) == 128 + signal.SIGINT
    again = f"scripts/scale gateway 2 --home {tmp_path}"
    assert capsys.readouterr().err == f"interrupted: what was begun goes on; {again} finishes it\n"
    assert supervisord.started
