"""Every command fails like a tool: one sentence that says what and what to do, a code that is not 0, nothing left behind.

What needs a running system (a taken port, Ctrl-C while it starts, a full disk) is walked in tests/integration.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT

from support.commands import ran
from support.waiting import wait_until

NOBODY = 65534
NOWHERE = "/proc/no-such-folder/home"
NOTHING_LISTENS = "http://127.0.0.1:9"
# Script and arguments -> what its sentence names. A system, a machine or a right is missing, or an argument is wrong.
CASES: dict[str, Sequence[tuple[Sequence[str], str]]] = {
    "scripts/bench": [
        (["arrivals"], "no benchmark 'arrivals': there are lb, kv"),
        (["fleet", "--running", NOWHERE], "scripts/up"),
        (["fleet", "--drones", "0"], "--drones"),
    ],
    "scripts/check": [(["--no-such"], "--no-such")],
    "scripts/check-nomad": [(["--no-such"], "sage")],
    "scripts/city": [(["sink"], "import")],
    "scripts/deploy": [([], "NOMAD_ADDR")],
    "scripts/down": [(["--home"], "--home")],
    "scripts/install-tools": [(["--no-such"], "sage")],
    "scripts/load": [
        (["--home", NOWHERE], f"scripts/up --home {NOWHERE}"),
        (["--host", NOTHING_LISTENS], "scripts/up"),
        (["--host", "nowhere"], "is no URL"),
        (["--web-port", "70000"], "--web-port"),
        (["--slo", NOWHERE], "no such file"),
        (["--headless", "--minutes", "inf"], "--minutes"),
        (["--users", "0"], "--users"),
        (["--orders", "many"], "--orders"),
        (["--processes", "100000"], "--processes"),
        (["--settle-s", "nan"], "--settle-s"),
    ],
    "scripts/logs": [
        (["--home", NOWHERE], f"scripts/up --home {NOWHERE}"),
        (["-n", "few"], "--lines"),
        (["-n", "-1"], "--lines"),
    ],
    "scripts/make-secrets": [(["--dir", NOWHERE], "/proc/no-such-folder")],
    "scripts/release": [(["--python", "3"], "--python 3"), (["--version", "a/b"], "a/b")],
    "scripts/prepare-nomad": [(["--no-such"], "sage")],
    "scripts/rollout": [(["gateway", "some-release"], "NOMAD_ADDR")],
    "scripts/rotate-tokens": [([], "NOMAD_ADDR")],
    "scripts/scale": [
        (["gateway", "3", "--home", NOWHERE], f"scripts/up --home {NOWHERE}"),
        (["gateway", "99"], "1..32"),
        (["kvstore", "3"], "kvstore"),
    ],
    "scripts/simulate": [(["--jobs", "0"], "--jobs"), (["--seeds", "-4"], "--seeds"), (["--rule-off", "99"], "99")],
    "scripts/status": [(["--home", NOWHERE], f"scripts/up --home {NOWHERE}")],
    "scripts/test": [(["no-such-suite"], "no-such-suite")],
    "scripts/try-clean": [(["--release", "potato"], "potato")],
    "scripts/try-vagrant": [(["--clients", "many"], "many")],
    "scripts/up": [
        (["--port-base", "3"], "1024.."),
        (["--home", NOWHERE], "--home DIR"),
        (["--gateways", "99"], "--gateways 99"),
    ],
    "scripts/setup/commit-message": [(["--no-such"], "sage"), ([NOWHERE], f"{NOWHERE} cannot be read")],
    "scripts/setup/consul": [(["--no-such"], "sage")],
    "scripts/setup/rabbitmq": [(["--no-such"], "sage")],
    "scripts/setup/test-packages": [(["--no-such"], "sage")],
    "scripts/setup/venv": [(["--no-such"], "sage")],
    "tests/slo_watch.sh": [
        (["--once", "--home", NOWHERE], f"scripts/up --home {NOWHERE}"),
        (["--once", "--host", NOTHING_LISTENS, "--log", NOWHERE], "--log"),
        (["--once", "--host", NOTHING_LISTENS, "--slo", NOWHERE], "--slo"),
        (["--once", "--minutes", "1e99"], "--minutes"),
        (["--every", "-1"], "--every"),
    ],
}  # fmt: skip
# In a checkout in which nothing is installed yet, these do not install: they say what does.
WANT_AN_ENVIRONMENT = ("bench lb", "down", "load", "logs", "scale gateway 3", "simulate", "status")


def executables() -> list[str]:
    rooms = (CHECKOUT / "scripts", CHECKOUT / "scripts" / "setup", CHECKOUT / "tests")
    files = (path for room in rooms for path in sorted(room.iterdir()) if path.is_file())
    return [str(path.relative_to(CHECKOUT)) for path in files if os.access(path, os.X_OK)]


def run(
    words: Sequence[str],
    environ: dict[str, str] | None = None,
    user: int | None = None,
    cwd: Path = Path("/"),
) -> subprocess.CompletedProcess[str]:
    return ran(words, {**os.environ, "NOMAD_ADDR": NOTHING_LISTENS, **(environ or {})}, cwd=cwd, user=user)


def fails_like_a_tool(done: subprocess.CompletedProcess[str], names: str) -> None:
    said = done.stdout + done.stderr
    assert done.returncode in {1, 2}, (done.returncode, said)
    assert names in said
    assert "Traceback" not in said
    assert "unbound variable" not in said
    assert ": line " not in said, "bash speaks, not the script"
    if not said.lower().startswith("usage"):
        assert len([line for line in done.stderr.splitlines() if line.strip()]) <= 2, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "scripts/bench chaos --running here",
        "scripts/bench fleet --running here",
        "scripts/bench orders --running here",
        "scripts/load --home here",
        "scripts/logs --home here",
        "scripts/scale gateway 3 --home here",
        "scripts/status --home here",
        "tests/slo_watch.sh --once --home here",
    ],
)
def test_a_relative_path_is_one_of_the_callers_folder(tmp_path: Path, command: str) -> None:
    script, *arguments = command.split()
    done = run([str(CHECKOUT / script), *arguments], cwd=tmp_path)
    fails_like_a_tool(done, f"scripts/up --home {tmp_path}/here")


def test_where_a_benchmark_writes_hangs_on_no_folder(tmp_path: Path) -> None:
    for name in ("kv", "dispatch"):
        module = importlib.import_module(f"loadtests.bench.{name}")
        assert module.parsed([]).out == CHECKOUT / ".artifacts" / "bench" / name
        assert module.parsed(["--out", "here"]).out == Path("here")


def test_every_script_is_walked() -> None:
    assert sorted(CASES) == sorted(executables())


@pytest.mark.parametrize(
    ("script", "arguments", "names"),
    [(script, arguments, names) for script, cases in CASES.items() for arguments, names in cases],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_failure_is_one_sentence_and_a_code(script: str, arguments: Sequence[str], names: str) -> None:
    fails_like_a_tool(run([str(CHECKOUT / script), *arguments]), names)


@pytest.fixture(scope="module")
def bare_checkout() -> Iterator[Path]:
    """The scripts as a fresh clone has them: nothing installed. Not in pytest's own folder: each pytest that starts, in
    another suite, too, shuts that to everybody else."""
    with tempfile.TemporaryDirectory(prefix="clone-") as place:
        yield _fresh_clone(Path(place))


def _fresh_clone(folder: Path) -> Path:
    for room in ("scripts", "loadtests", "services"):
        shutil.copytree(CHECKOUT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        shutil.copy(CHECKOUT / name, folder / name)
    folder.chmod(0o755)  # somebody else may look
    return folder


@pytest.mark.parametrize("command", WANT_AN_ENVIRONMENT)
def test_without_an_environment_a_command_says_what_makes_one(bare_checkout: Path, command: str) -> None:
    script, *arguments = command.split()
    done = run([str(bare_checkout / "scripts" / script), *arguments])
    fails_like_a_tool(done, "scripts/install-tools")
    assert not (bare_checkout / ".venv").exists()


@pytest.mark.parametrize("command", ["up", "down", "status", "logs", "scale", "city", "test", "check"])
def test_without_an_environment_a_command_explains_itself_all_the_same(
    bare_checkout: Path, command: str
) -> None:
    done = run([str(bare_checkout / "scripts" / command), "--help"])
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()


@pytest.fixture(scope="module")
def path_without_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("bin")
    for room in ("/bin", "/usr/bin"):
        for name in os.listdir(room):
            if not name.startswith(("python", "apt", "sudo")) and not (folder / name).exists():
                (folder / name).symlink_to(f"{room}/{name}")
    return str(folder)


@pytest.mark.parametrize("name", ["no-such-suite", "support", "house/", "..", ""])
def test_a_suite_that_is_none_is_told_before_anything_is_installed(
    bare_checkout: Path, path_without_python: str, name: str
) -> None:
    for room in ("house", "support"):
        (bare_checkout / "tests" / room).mkdir(parents=True, exist_ok=True)
    environ = {"PATH": path_without_python, "DRONEDISPATCH_PYTHON": "no-such-python"}
    done = run([str(bare_checkout / "scripts" / "test"), name], environ)
    fails_like_a_tool(done, f"no suite '{name}'")


@pytest.mark.parametrize("command", ["up", "test", "check", "install-tools"])
def test_without_a_python_and_without_apt_a_command_says_what_is_needed(
    bare_checkout: Path, path_without_python: str, command: str
) -> None:
    environ = {"PATH": path_without_python, "DRONEDISPATCH_PYTHON": "no-such-python"}
    fails_like_a_tool(run([str(bare_checkout / "scripts" / command)], environ), "Python 3.11 or newer")


@pytest.mark.parametrize(
    "command", ["up", "test", "check", "install-tools", "setup/venv", "release --version x"]
)
def test_a_set_up_that_another_one_keeps_waiting_says_so(
    bare_checkout: Path, path_without_python: str, tmp_path: Path, command: str
) -> None:
    """flock as if another one had the lock; that of scripts/release, which waits longer, is free."""
    (tmp_path / "flock").write_text('#!/bin/sh\n[ "$2" != 900 ]\n', encoding="ascii")
    (tmp_path / "flock").chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{path_without_python}", "DRONEDISPATCH_PYTHON": "no-such-python"}
    script, *arguments = command.split()
    done = run([str(bare_checkout / "scripts" / script), *arguments], environ)
    fails_like_a_tool(done, "another set-up of this checkout")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
@pytest.mark.parametrize("command", ["up", "test", "install-tools"])
def test_without_the_right_to_write_a_command_says_where(bare_checkout: Path, command: str) -> None:
    done = run([str(bare_checkout / "scripts" / command)], user=NOBODY)
    fails_like_a_tool(done, f"no right to write {bare_checkout}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["simulate --seeds 1000000 --jobs 2", "logs --follow --home {home}"])
def test_an_interrupted_command_ends_with_a_word_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals, command: str
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "gateway-1.log").write_text("first\n", encoding="utf-8")
    script, *arguments = command.format(home=tmp_path).split()
    child = subprocess.Popen(
        [CHECKOUT / "scripts" / script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() != ""  # it is at work
        os.killpg(child.pid, number)
        _, said = child.communicate(timeout=100)
    finally:
        child.kill()
    assert child.returncode in {130, 143}, said
    assert "Traceback" not in said
    wait_until(lambda: not group_lives(child.pid), "nothing of it runs any more")


def group_lives(group: int) -> bool:
    """Whether a process of the group runs; one that has ended and waits for a slow init to notice does not."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has gone meanwhile
            state, _, process_group = stat.read_text(encoding="utf-8").rpartition(")")[2].split()[:3]
            if int(process_group) == group and state not in {"Z", "X"}:
                return True
    return False


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "gateway-1.log").write_text("a line of a log\n" * 100_000, encoding="utf-8")
    words = [str(CHECKOUT / "scripts" / "logs"), "--home", str(tmp_path), "-n", "100000"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == ""
        assert child.wait(60) == 128 + signal.SIGPIPE
