from __future__ import annotations

import contextlib
import dataclasses
import shlex
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from scripts.local.home import Home
from scripts.local.leftovers import end_with
from scripts.local.supervisor import Supervisor, check_descriptors, configuration, restarts_in
from scripts.local.system import not_running
from scripts.local.table import RUN_MARK, Program
from scripts.local.trouble import Trouble
from supervisor.options import ServerOptions

from support.waiting import wait_until


def process(**environment: str) -> Program:
    return Program(
        "gateway-1", "gateway", 4, ("/opt/with space/prog", "gateway"), environment, directory=Path("/tmp")
    )


def as_supervisord_reads_it(text: str, folder: Path) -> ServerOptions:
    file = folder / "supervisord.conf"
    file.write_text(text, encoding="utf-8")
    options = ServerOptions()
    options.exit = pytest.fail
    options.realize(args=["-c", str(file)], doc="", progname="supervisord")
    return options


def test_supervisord_reads_back_command_and_environment_unchanged(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    wanted = {"GATEWAY_X": "50% of a,b;c", "Y": "two words"}
    text = configuration([process(**wanted)], home, {"PATH": "/bin"}, descriptors=1024, root=False)
    options = as_supervisord_reads_it(text, tmp_path)
    [group] = options.process_group_configs
    [one] = group.process_configs
    assert one.name == "gateway-1"
    assert {name: one.environment[name] for name in wanted} == wanted
    assert one.command == '"/opt/with space/prog" "gateway"'


def test_every_process_carries_the_mark_of_its_home(tmp_path: Path) -> None:
    text = configuration([process()], Home(tmp_path), {}, descriptors=1024, root=False)
    assert f'DRONEDISPATCH_HOME="{tmp_path}"' in text


def test_a_supervisord_that_a_test_has_started_ends_with_the_run_of_the_suites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_MARK, str(tmp_path))
    home = Home(tmp_path)
    home.prepare()
    home.supervisor_config.write_text(configuration([], home, {}, descriptors=64, root=False))
    supervisor = Supervisor(home)
    with supervisor.launch() as launched:
        try:
            wait_until(supervisor.answers, "supervisord answers")
            assert end_with(f"{RUN_MARK}={tmp_path}") == 1
        finally:
            launched.terminate()


@pytest.mark.parametrize("text", ['a"b', "a\nb", "a ;b", "a\t#b"])
def test_what_cannot_be_quoted_is_refused(tmp_path: Path, text: str) -> None:
    """supervisord takes what follows a blank and ; or # for a comment, quoted or not."""
    with pytest.raises(Trouble, match=r"cannot be passed.*choose another"):
        configuration([process(X=text)], Home(tmp_path), {}, descriptors=1024, root=False)
    with pytest.raises(Trouble, match=r"cannot be passed.*choose another"):
        configuration([], Home(tmp_path / text), {}, descriptors=1024, root=False)


@pytest.mark.parametrize(
    "name", ["Bob's home", "50% off", "back\\slash", "$HOME `x`", "é ü", "a;b#c", "(x86) [y]"]
)
def test_any_other_home_is_read_back_unchanged(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / name)
    home.prepare()
    program = dataclasses.replace(process(X=name), command=(f"/{name}/prog",), directory=home.root)
    text = configuration([program], home, {"TZ": name}, descriptors=1024, root=False)
    options = as_supervisord_reads_it(text, tmp_path)
    [group] = options.process_group_configs
    [one] = group.process_configs
    assert one.environment["X"] == one.environment["TZ"] == name
    assert one.environment["DRONEDISPATCH_HOME"] == str(home.root)
    assert one.stdout_logfile == str(home.log("gateway-1"))
    assert shlex.split(one.command) == [f"/{name}/prog"]
    assert one.directory == options.directory == str(home.root)
    assert options.pidfile == str(home.root / "supervisord.pid")
    assert options.logfile == str(home.supervisor_log)
    assert options.childlogdir == str(home.logs)
    assert [server["file"] for server in options.server_configs] == [str(home.supervisor_socket)]


def test_a_session_that_may_open_too_few_files_is_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (64, 300))
    with pytest.raises(Trouble, match=r"may open 300 files.*ulimit -n"):
        check_descriptors()
    monkeypatch.setattr("resource.getrlimit", lambda _: (64, 65_536))
    check_descriptors()


def test_only_ends_that_nobody_asked_for_count_as_restarts() -> None:
    log = (
        "INFO spawned: 'gateway-1' with pid 1\nWARN exited: gateway-1 (terminated by SIGKILL; not expected)\n"
        "INFO spawned: 'gateway-1' with pid 2\nWARN stopped: gateway-1 (exit status 0)\n"
        "INFO exited: lb-1 (exit status 0; expected)\n"
    )
    assert restarts_in(log) == {"gateway-1": 1, "lb-1": 1}


@pytest.mark.parametrize(
    "words",
    [
        b"HTTP/1.0 200 OK\r\ncontent-type: text/xml\r\n\r\n<?xml version='1.0'?><method",
        b"HTTP/1.0 500 Internal Server Error\r\n\r\n",
        b"what?\r\n",
    ],
)
def test_half_an_answer_of_one_that_was_killed_is_none(tmp_path: Path, words: bytes) -> None:
    home = Home(tmp_path)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(home.supervisor_socket))
        listener.listen()
        over = threading.Event()

        def killed_meanwhile() -> None:
            while True:  # xmlrpc asks once more when it is cut off
                caller, _ = listener.accept()
                with caller, contextlib.suppress(OSError):
                    if over.is_set():
                        return
                    caller.recv(65_536)
                    caller.sendall(words)

        with ThreadPoolExecutor(1) as pool:
            pool.submit(killed_meanwhile)
            supervisor = Supervisor(home)
            try:
                assert not supervisor.answers()
                with pytest.raises(OSError, match=r"half an answer|reset|Broken"):
                    supervisor.states()
            finally:
                over.set()
                with socket.socket(socket.AF_UNIX) as last:
                    last.connect(str(home.supervisor_socket))


def test_a_stopped_supervisord_answers_nothing_and_is_not_waited_for_as_for_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    monkeypatch.setattr("scripts.local.supervisor.LOOK_TIMEOUT_S", 0.01)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(home.supervisor_socket))
        listener.listen()  # the kernel takes the connection, nobody the question
        assert not Supervisor(home).answers()
        with pytest.raises(TimeoutError):
            Supervisor(home).states()


def test_processes_that_run_on_without_their_supervisord_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After kill -9 of it, status said that no system runs."""
    home = Home(tmp_path)
    monkeypatch.setattr("scripts.local.leftovers.pids_of", lambda _: [])
    assert "no system runs in" in str(not_running(home))
    monkeypatch.setattr("scripts.local.leftovers.pids_of", lambda _: [4711])
    assert "run on without it: run scripts/up" in str(not_running(home))
