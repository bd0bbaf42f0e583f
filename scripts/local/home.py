"""The directory of one system: its data, logs, secrets, and who is working on it."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.local.trouble import Trouble

from dronedispatch.fleet.traffic import TRAFFIC
from dronedispatch.runtime.home import damaged, whole

CHECKOUT = Path(__file__).resolve().parents[2]
DEFAULT = whole(os.environ.get("DD_HOME") or CHECKOUT / ".run")
AMQP_SERVICES = tuple(TRAFFIC)  # each with a user of its own at the broker


def password_name(service: str) -> str:
    """The secret with which `service` enters the broker."""
    return f"amqp_{service.replace('-', '_')}"


SECRETS = (
    *("store", "operator", "metrics", "service", "amqp_password"),
    *(password_name(service) for service in AMQP_SERVICES),
)
ROOMS = ("data", "logs", "tokens", "etc")
# A Unix socket's path ends at 103 bytes on macOS, 107 on Linux; supervisor adds a suffix.
SOCKET_PATH_BYTES_MAX = 100
# Whatever TMPDIR says: another terminal has another one, and must find the same socket.
TEMPORARY = Path("/tmp")
FREE_BYTES_MIN = 500 * 1024 * 1024


def named(text: str) -> Path:
    """What was typed after --home."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty: name a folder")
    folder = whole(text)
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError("it is no text in UTF-8: name another folder") from error
    above = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    if not os.path.isdir(above):
        raise argparse.ArgumentTypeError(f"{above} is no folder: name another")
    return folder


@dataclasses.dataclass(frozen=True, slots=True)
class Home:
    """Paths inside one home. Nothing is created by looking."""

    root: Path

    @property
    def logs(self) -> Path:
        """One log file for each process."""
        return self.root / "logs"

    @property
    def data(self) -> Path:
        """What must survive a restart: replicas, Consul, RabbitMQ."""
        return self.root / "data"

    @property
    def supervisor_config(self) -> Path:
        """Generated from the table; never edited by hand."""
        return self.root / "supervisord.conf"

    @property
    def supervisor_log(self) -> Path:
        """supervisord's own log, begun anew at each start: restarts are counted in it."""
        return self.logs / "supervisord.log"

    @property
    def supervisor_socket(self) -> Path:
        """supervisord's control socket, in a private short place when the home's path is too long for one."""
        inside = self.root / "supervisor.sock"
        if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES_MAX:
            return inside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return TEMPORARY / f"dronedispatch-{os.getuid()}-{digest}" / "supervisor.sock"

    def secret(self, name: str) -> Path:
        """The file of one secret, readable by its owner only."""
        return self.root / "tokens" / name

    def log(self, process: str) -> Path:
        """Where a process's output goes."""
        return self.logs / f"{process}.log"

    def check_ours(self) -> None:
        """Raises Trouble when what a home would hold is there and nobody's home: --fresh would remove it; and when RabbitMQ
        cannot start below this path: with an apostrophe in it 3.10 stands at "Starting broker" for ever.
        """
        if "'" in str(self.root):
            raise Trouble(
                f"RabbitMQ cannot keep its data below {self.root}: name a folder without ' by --home DIR"
            )
        if (self.root / "system.json").exists() or self.secret("store").exists():
            return
        theirs = [name for name in ROOMS if (self.root / name).is_dir() and any((self.root / name).iterdir())]
        if theirs:
            raise Trouble(
                f"{self.root} has {' and '.join(theirs)} of something else and is no home: "
                "name an empty folder with --home DIR"
            )

    def prepare(self) -> None:
        """Create the directories and every missing secret. Raises Trouble when the disk is nearly full."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        free = shutil.disk_usage(self.root).free
        if free < FREE_BYTES_MIN:
            raise Trouble(
                f"only {free // 2**20} MB are free on the disk of {self.root}: free {FREE_BYTES_MIN // 2**20} MB there, "
                "or choose another place with --home DIR"
            )
        for directory in (self.logs, self.data, self.root / "tokens", self.supervisor_socket.parent):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.make_secrets()

    def make_secrets(self) -> None:
        """Those that are missing: of a new home, or of one that an older release has made."""
        for name in SECRETS:
            _create_secret(self.secret(name))

    def empty(self) -> None:
        """Remove data, logs and secrets; the lock stays. Only while nothing runs here."""
        for directory in (self.root / name for name in ROOMS):
            if directory.exists():
                shutil.rmtree(directory)
        for file in (self.root / "system.json", self.supervisor_config):
            file.unlink(missing_ok=True)

    def remember(self, facts: dict[str, Any]) -> None:
        """Keep what the last start was asked for."""
        write_private(self.root / "system.json", json.dumps(facts, indent=2) + "\n")

    def recall(self) -> dict[str, Any] | None:
        """What the last start was asked for; None when nothing was ever started here."""
        try:
            facts = json.loads((self.root / "system.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise Trouble(damaged(self.root, error)) from error
        if not isinstance(facts, dict):
            raise Trouble(damaged(self.root, "it is no JSON object"))
        return facts

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Hold this home for one command that changes it. Raises Trouble when another one does so now."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.root / "lock").open("a", encoding="utf-8") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Trouble(
                    f"another scripts/up, down or scale is at work on {self.root}: wait for it, then run this again"
                ) from error
            yield


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    beside.replace(path)


def _create_secret(path: Path) -> None:
    try:
        there = path.exists() and path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise Trouble(f"{path} is damaged: remove it, and a new one is made at the next start") from error
    if not there:
        write_private(path, secrets.token_urlsafe(32) + "\n")
