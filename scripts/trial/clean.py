"""`scripts/try-clean`: the README's two commands on a machine that nobody prepared, Debian 12 or 13, from a fresh clone."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from loadtests.bench.runs import hardware, wrapped
from scripts.local.home import CHECKOUT, named
from scripts.local.trouble import Trouble, run_command
from scripts.trial.clean_machine import CleanMachine, bootstrap, only_child, switched_on

RELEASES = {"bookworm": "Debian 12", "trixie": "Debian 13"}
FIGURES = CHECKOUT / "docs" / "clean-runs.md"
WORK = Path("/var/tmp/dronedispatch-clean")
PROGRAMS = {"debootstrap": "debootstrap", "slirp4netns": "slirp4netns", "unshare": "util-linux", "git": "git"}
UP = ("scripts/up", "--speed", "20", "--orders-per-minute", "20")
INSIDE = "/root/DroneDispatch"
FREE_BYTES_MIN = 8 * 1024**3
ENOUGH_S = 3 * 3600.0  # a command that takes longer has hung


@dataclasses.dataclass(slots=True)
class Run:
    """What one release's run came to; minutes are None for a command that was not reached."""

    release: str
    commit: str
    versions: str = "unknown"
    up_minutes: float | None = None
    test_minutes: float | None = None
    verdict: str = "nothing ran"

    def entry(self, today: datetime.date, machine: str, suites: Sequence[str]) -> str:
        """One entry of the list in docs/clean-runs.md."""
        what = "scripts/test" + "".join(f" {name}" for name in suites)
        text = (
            f"* {today}, {self.commit}, {RELEASES[self.release]} ({self.versions}), on {machine}: `scripts/up` "
            f"healthy after {_minutes(self.up_minutes)} min, `{what}` took {_minutes(self.test_minutes)} min: {self.verdict}"
        )
        return wrapped(text) + "\n"


def _minutes(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.1f}"


class Transcript:
    """Every line to the terminal and to a file, with the minutes since the start."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8", buffering=1)
        self._began_s = time.monotonic()

    def say(self, line: str) -> None:
        """One line."""
        seconds = int(time.monotonic() - self._began_s)
        text = f"{seconds // 60:3d}:{seconds % 60:02d}  {line}"
        print(text, flush=True)
        self._file.write(text + "\n")

    def close(self) -> None:
        """The file is whole."""
        self._file.close()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="scripts/try-clean",
        description="Run the README's two commands, scripts/up until healthy and scripts/test, in a clean Debian from a "
        "fresh clone of HEAD, with nothing of this machine but its way to the package mirror. "
        "Wants root, debootstrap and slirp4netns.",
        epilog="The transcript goes to .artifacts/clean/RELEASE.txt, an entry with the figures to "
        f"{FIGURES.relative_to(CHECKOUT)}. Exit codes: 0 both commands kept their word, 1 one did not, 2 wrong usage.",
    )
    add = command.add_argument
    which, some = (
        "which Debian (default: all, one after the other)",
        "only these suites of scripts/test (default: all)",
    )
    add("--release", choices=[*RELEASES, "all"], default="all", help=which)
    add("--suites", nargs="+", default=[], metavar="SUITE", help=some)
    add("--keep", action="store_true", help="leave the machine's files, and go on in them the next time")
    where = f"where the machines' files live (default: {WORK})"
    add("--work", type=named, default=WORK, metavar="DIR", help=where)
    return command


def check_host(work: Path) -> None:
    """Raises Trouble when this machine cannot carry another one."""
    if os.geteuid() != 0:
        raise Trouble("namespaces and debootstrap want root: run it as root")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted({package for name, package in PROGRAMS.items() if shutil.which(name, path=path) is None})
    if missing:
        raise Trouble(f"{', '.join(missing)} is not installed: apt-get install {' '.join(missing)}")
    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    free = shutil.disk_usage(work).free
    if free < FREE_BYTES_MIN:
        raise Trouble(
            f"only {free // 2**30} GB are free in {work}: free 8 GB there, or choose another place with --work DIR"
        )


def git(*words: str) -> str:
    """What git says of this checkout."""
    done = subprocess.run(
        ["git", "-C", str(CHECKOUT), *words], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode != 0:
        raise Trouble(f"git {words[0]} failed: {(done.stderr.strip() or 'it said nothing').splitlines()[-1]}")
    return done.stdout.strip()


def clone(root: Path, commit: str) -> None:
    """The checkout's HEAD as somebody else would get it: no file of ours that is not committed."""
    target = root / INSIDE.lstrip("/")
    if target.exists():  # --keep: only what is committed moves on, so that .venv need not be made again
        git("-C", str(target), "fetch", "-q", f"file://{CHECKOUT}", commit)
        git("-C", str(target), "checkout", "-q", "--detach", "--force", commit)
        return
    git("clone", "-q", "--no-checkout", f"file://{CHECKOUT}", str(target))
    git("-C", str(target), "checkout", "-q", "--detach", commit)
    git("-C", str(target), "remote", "remove", "origin")


def bring_up(clean: CleanMachine, transcript: Transcript) -> float:
    """`scripts/up` until it says that it is healthy, then Ctrl-C; returns the minutes until healthy. Raises Trouble."""
    began_s = time.monotonic()
    healthy_s: float | None = None
    transcript.say(f"$ {' '.join(UP)}")
    with _watched(clean.start(UP, INSIDE)) as child:
        for line in child.stdout or ():
            transcript.say(line.rstrip("\n"))
            if line.startswith("Healthy after"):
                healthy_s = time.monotonic() - began_s
            if healthy_s is not None and "until Ctrl-C" in line:
                transcript.say("^C")
                os.kill(only_child(child.pid), signal.SIGINT)
    if healthy_s is None:
        raise Trouble(f"scripts/up ended with {child.returncode} and was never healthy")
    if child.returncode != 0:
        raise Trouble(f"scripts/up ended with {child.returncode} after Ctrl-C, not with 0")
    return healthy_s / 60


def run_suites(
    clean: CleanMachine, suites: Sequence[str], transcript: Transcript
) -> tuple[float, int, list[str]]:
    """`scripts/test`; returns minutes, exit code, and the tests that failed."""
    began_s = time.monotonic()
    failed: list[str] = []
    command = ["scripts/test", *suites]
    transcript.say(f"$ {' '.join(command)}")
    # CI=1: a test that cannot run on a machine where everything can be installed is a failure.
    with _watched(clean.start(["env", "CI=1", *command], INSIDE)) as child:
        for line in child.stdout or ():
            transcript.say(line.rstrip("\n"))
            found = re.match(r"(?:FAILED|ERROR) (tests/\S+)", line)
            if found:
                failed.append(found[1])
    return (time.monotonic() - began_s) / 60, child.returncode, failed


@contextlib.contextmanager
def _watched(child: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A command that is ended when its time is over or when we are; what it started ends with its machine."""
    alarm = threading.Timer(ENOUGH_S, child.kill)
    alarm.start()
    try:
        yield child
        child.wait()
    finally:
        alarm.cancel()
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def versions(clean: CleanMachine) -> str:
    """Of the parts that differ between releases."""
    found = [clean.ask([f"{INSIDE}/.venv/bin/python", "--version"]).strip() or "no .venv"]
    for package in ("rabbitmq-server", "consul", "chromium"):
        version = clean.ask(["dpkg-query", "-W", "-f", "${Version}", package]).strip()
        if version:
            found.append(f"{package} {re.split(r'[+~-]', version)[0]}")
    own = clean.ask([f"{INSIDE}/.tools/bin/consul", "version"]).splitlines()
    return ", ".join([*found, *own[:1]])


def try_release(release: str, options: argparse.Namespace, commit: str) -> Run:
    """One machine made, used and thrown away; the run says how far it came."""
    transcript = Transcript(CHECKOUT / ".artifacts" / "clean" / f"{release}.txt")
    run = Run(release, commit[:10])
    root = options.work / release
    try:
        if not (root / "made").exists():
            shutil.rmtree(root, ignore_errors=True)
            transcript.say(f"{RELEASES[release]}: debootstrap in {root}")
            bootstrap(root, release)
            (root / "made").touch()
        clone(root, commit)
        transcript.say(f"a clone of {commit[:10]} in {INSIDE}")
        with switched_on(root) as clean:
            _two_commands(clean, run, options.suites, transcript)
    except subprocess.CalledProcessError as error:
        run.verdict = (
            f"{Path(error.cmd[0]).name} failed: {(error.stderr or error.stdout or '').strip()[-200:]}"
        )
    except (Trouble, TimeoutError, RuntimeError) as error:
        run.verdict = str(error)
    finally:
        if not options.keep:
            shutil.rmtree(root, ignore_errors=True)
    transcript.say(
        f"{RELEASES[release]}: up {_minutes(run.up_minutes)} min, test {_minutes(run.test_minutes)} min: {run.verdict}"
    )
    transcript.close()
    return run


def _two_commands(clean: CleanMachine, run: Run, suites: Sequence[str], transcript: Transcript) -> None:
    try:
        run.up_minutes = bring_up(clean, transcript)
    finally:
        run.versions = versions(clean)
    run.test_minutes, code, failed = run_suites(clean, suites, transcript)
    run.versions = versions(clean)
    run.verdict = "green" if code == 0 else f"exit {code}: {', '.join(failed) or 'see the transcript'}"


def main() -> None:
    """Entry point."""
    options = parser().parse_args(sys.argv[1:])

    def command() -> int:
        check_host(options.work)
        commit = git("rev-parse", "HEAD")
        if git("status", "--porcelain"):
            print("note: what is not committed is not tried", flush=True)
        releases = list(RELEASES) if options.release == "all" else [options.release]
        runs = []
        for release in releases:
            runs.append(try_release(release, options, commit))
            with FIGURES.open("a", encoding="utf-8") as file:
                file.write(runs[-1].entry(datetime.date.today(), hardware(), options.suites))
        return 0 if all(run.verdict == "green" for run in runs) else 1

    run_command(command, lambda: options.work)


if __name__ == "__main__":
    main()
