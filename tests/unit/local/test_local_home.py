from __future__ import annotations

import errno
import shutil
import stat
from pathlib import Path

import pytest
from scripts.local.home import SECRETS, SOCKET_PATH_BYTES_MAX, Home
from scripts.local.trouble import Trouble, from_os_error


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    first = {name: home.secret(name).read_text(encoding="utf-8") for name in SECRETS}
    home.prepare()
    assert {name: home.secret(name).read_text(encoding="utf-8") for name in SECRETS} == first
    assert len(set(first.values())) == len(SECRETS)
    assert {stat.S_IMODE(home.secret(name).stat().st_mode) for name in SECRETS} == {0o600}


def test_two_commands_never_change_one_home_together(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.claim(), pytest.raises(Trouble, match="at work on"), Home(tmp_path).claim():
        pass
    with home.claim():
        pass


def test_the_control_socket_of_a_deep_home_still_fits_into_a_socket_path(tmp_path: Path) -> None:
    deep = Home(tmp_path / ("x" * 150))
    assert len(str(deep.supervisor_socket)) <= SOCKET_PATH_BYTES_MAX
    assert deep.supervisor_socket != Home(tmp_path / ("y" * 150)).supervisor_socket


def test_fresh_forgets_data_logs_and_secrets(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    (home.data / "kvstore-1").mkdir()
    home.remember({"options": {}})
    home.empty()
    assert home.recall() is None
    assert not home.data.exists()
    assert not home.secret("store").exists()


def test_a_damaged_memory_is_told(tmp_path: Path) -> None:
    (tmp_path / "system.json").write_text("{", encoding="utf-8")
    with pytest.raises(Trouble, match="damaged"):
        Home(tmp_path).recall()


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "is full"), (errno.EACCES, "no right to write"), (errno.EROFS, "no right")],
)
def test_an_error_of_the_system_becomes_one_sentence_with_what_to_do(
    number: int, words: str, tmp_path: Path
) -> None:
    sentence = str(from_os_error(OSError(number, "x", str(tmp_path)), tmp_path))
    assert words in sentence
    assert "--home DIR" in sentence
    assert "\n" not in sentence


def test_a_nearly_full_disk_is_one_sentence_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=3 * 2**20))
    with pytest.raises(Trouble, match="only 3 MB are free"):
        Home(tmp_path / "home").prepare()
    assert not (tmp_path / "home" / "data").exists()
