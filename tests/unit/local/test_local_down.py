"""scripts/down that is interrupted: what is left to do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from scripts.local import down
from scripts.local.home import Home


def test_who_interrupts_it_is_told_how_the_rest_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_report: object) -> None:
        raise KeyboardInterrupt

    running = SimpleNamespace(supervisor=SimpleNamespace(answers=lambda: True), stop=stop)
    monkeypatch.setattr(Home, "recall", lambda _home: "options")
    monkeypatch.setattr("scripts.local.system.of_home", lambda _home: running)
    monkeypatch.setattr("scripts.local.trouble.interruptible", lambda: None)
    monkeypatch.setattr("scripts.local.trouble.output.ensure", lambda: None)
    monkeypatch.setattr("sys.argv", ["scripts/down", "--home", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        down.main()
    assert ended.value.code == 130
    assert (
        capsys.readouterr().err
        == f"interrupted: what still runs is stopped by scripts/down --home {tmp_path}\n"
    )
