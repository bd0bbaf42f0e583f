from __future__ import annotations

import errno
import os
import shlex
import shutil
import stat
from pathlib import Path

import pytest
from scripts.local.home import SECRETS, SOCKET_PATH_BYTES_MAX, Home
from scripts.local.options import parse
from scripts.local.system import System, of_home
from scripts.local.trouble import Trouble, from_os_error
from scripts.local.up import bring_up

from dronedispatch.runtime.home import home_folder


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


@pytest.mark.parametrize(
    "memory",
    [
        "{",
        "[]",
        "5",
        "null",
        "{}",
        '{"options": 5}',
        '{"options": {"rf": "two"}}',
        '{"options": {}, "settings": 5}',
        '{"options": {}, "settings": {"LB_TLS_CERT": 5}}',
    ],
)
def test_a_damaged_memory_is_told_with_what_stops_and_empties_this_home(tmp_path: Path, memory: str) -> None:
    """As it is typed: scripts/up --fresh refuses while the system of the home runs."""
    folder = tmp_path / "Bob's home"
    folder.mkdir()
    (folder / "system.json").write_text(memory, encoding="utf-8")
    with pytest.raises(Trouble, match=r"system\.json is damaged") as told:
        of_home(Home(folder))
    named = ["--home", str(folder)]
    typed = shlex.split(str(told.value).partition(": start again with ")[2])
    assert typed == ["scripts/down", *named, "&&", "scripts/up", *named, "--fresh"]


def test_a_city_whose_file_has_gone_is_no_damage_to_the_memory(tmp_path: Path) -> None:
    """It is in the store."""
    home = Home(tmp_path)
    home.remember({"options": {"city": str(tmp_path / "gone.json"), "drones": 7}})
    assert of_home(home).options.drones == 7


def test_a_damaged_secret_is_told_with_the_way_to_a_new_one(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    home.secret("store").write_bytes(b"\xff\xfe")
    with pytest.raises(Trouble, match=rf"{home.secret('store')} is damaged: remove it"):
        home.make_secrets()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "is full"),
        (errno.EACCES, "no right to read or write"),
        (errno.EROFS, "no right"),
        (errno.EIO, "fails (Input/output error): dmesg names the cause"),
    ],
)
def test_an_error_of_the_system_becomes_one_sentence_with_what_to_do(
    number: int, words: str, tmp_path: Path
) -> None:
    sentence = str(from_os_error(OSError(number, os.strerror(number), str(tmp_path)), tmp_path))
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


@pytest.mark.parametrize("room", ["data", "logs", "tokens", "etc"])
def test_a_folder_of_somebody_elses_is_no_home_and_fresh_forgets_nothing_of_it(
    tmp_path: Path, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`scripts/up --fresh --home /` would have removed /etc."""
    monkeypatch.setattr(System, "check_ports", lambda *_: pytest.fail("it would have started"))
    theirs = tmp_path / room / "theirs"
    theirs.parent.mkdir()
    theirs.touch()
    with pytest.raises(Trouble, match=rf"{room} of something else.*--home DIR"):
        bring_up(parse(["--fresh", "--home", str(tmp_path)]), {})
    assert [path.name for path in tmp_path.iterdir()] == [room]
    assert theirs.exists()


def test_a_home_whose_first_start_was_cut_short_is_one(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    (home.data / "consul").mkdir()
    home.check_ours()


def test_a_home_below_which_the_broker_does_not_start_is_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    with pytest.raises(Trouble, match="without ' by --home"):
        Home(tmp_path / "Bob's drone").check_ours()


def test_a_folder_with_other_things_in_it_may_become_a_home(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "data").mkdir()
    Home(tmp_path).check_ours()


def test_every_spelling_of_a_home_is_the_same_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to("home")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in ("home", "./home/", "home/../home", "link", "~/link", f"{tmp_path}/link/."):
        assert parse(["--home", text]).home == tmp_path / "home"
        assert home_folder(Path(text), {}) == tmp_path / "home"
        assert home_folder(None, {"DD_HOME": text}) == tmp_path / "home"


def test_a_home_of_an_unknown_user_is_a_name_as_it_is_to_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse(["--home", "~no-such-user/x"]).home == tmp_path / "~no-such-user" / "x"
    assert home_folder(Path("~no-such-user/x"), {}) == tmp_path / "~no-such-user" / "x"


@pytest.mark.parametrize(("name", "why"), [("", "it is empty"), ("/tmp/\udcff", "it is no text in UTF-8")])
def test_an_empty_name_or_one_that_is_no_text_is_no_home(
    capsys: pytest.CaptureFixture[str], name: str, why: str
) -> None:
    """`--home "$HERE"` without HERE would have meant the working directory; configurations are text."""
    with pytest.raises(SystemExit):
        parse(["--home", name])
    assert f"--home: {why}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_is_no_home(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        parse(["--home", str(tmp_path / name)])
    assert f"--home: {tmp_path}/file is no folder: name another" in capsys.readouterr().err
    for number in (errno.EEXIST, errno.ENOTDIR):  # that of DD_HOME is found by using it
        sentence = str(from_os_error(OSError(number, os.strerror(number)), tmp_path / name))
        assert sentence.startswith(f"{tmp_path / name} cannot be")
        assert "--home DIR" in sentence


@pytest.mark.parametrize("name", ['a"b', "a\nb", "a ;b"])
def test_a_home_whose_name_no_process_can_be_told_is_refused_before_anything_is_made(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(Trouble, match=r"cannot be passed.*choose another"):
        bring_up(parse(["--home", str(tmp_path / name)]), {})
    assert list(tmp_path.iterdir()) == []


def test_where_the_control_socket_of_a_deep_home_is_hangs_on_no_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = Home(tmp_path / ("x" * 150))
    before = deep.supervisor_socket
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert deep.supervisor_socket == before
