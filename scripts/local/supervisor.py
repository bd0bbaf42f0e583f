"""supervisord, which starts the table's processes, restarts the ones that die, and stops them: configuration and control."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import os
import re
import resource
import socket
import subprocess
import sys
import xml.parsers.expat
import xmlrpc.client
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.local.home import Home, write_private
from scripts.local.table import HOME_MARK, Program, marks
from scripts.local.trouble import Trouble

SUPERVISE = Path(__file__).with_name("supervise.py")
DESCRIPTORS_WANTED = 16_384
DESCRIPTORS_MIN = 4_096  # Consul ends at once with less than its 4,000 connections and 20
RPC_TIMEOUT_S = 60.0
LOOK_TIMEOUT_S = 15.0  # of a question that changes nothing: a stopped supervisord is told after it
SHUTDOWN_STATE = 6  # the fault code of a supervisord that ends


def escape(text: str) -> str:
    """As supervisord's configuration holds it. Raises Trouble for what it cannot hold."""
    if re.search(r'["\n\r]|\s[;#]', text):
        raise Trouble(
            f"{text!r} cannot be passed to a process (a quotation mark, a line break, or a blank before ; or #): "
            "choose another"
        )
    return text.replace("%", "%%")


def _twice(escaped: str) -> str:
    """For the lines that supervisord expands twice."""
    return escaped.replace("%", "%%")


def _environment(variables: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{escape(value)}"' for name, value in sorted(variables.items()))


def _program(process: Program, home: Home) -> list[str]:
    kind = "program" if process.socket is None else "fcgi-program"
    lines = [
        f"[{kind}:{process.name}]",
        "command=" + " ".join(f'"{escape(word)}"' for word in process.command),
        f"directory={escape(str(process.directory))}",
        f"environment={_environment(process.environment)}",
        f"priority={process.tier * 100}",
        "autostart=false",  # scripts/up starts tier by tier
        "autorestart=true",
        "startsecs=1",
        "startretries=1000",
        "stopsignal=TERM",
        f"stopwaitsecs={process.stop_wait_s}",
        "redirect_stderr=true",
        f"stdout_logfile={_twice(escape(str(home.log(process.name))))}",
        "stdout_logfile_maxbytes=32MB",
        "stdout_logfile_backups=1",
    ]
    if process.socket is not None:
        lines.append(f"socket={process.socket}")
    return lines


def configuration(
    processes: Sequence[Program], home: Home, inherited: Mapping[str, str], *, descriptors: int, root: bool
) -> str:
    """supervisord's configuration for `processes`, each with the `inherited` environment below its own."""
    lines = [
        "[supervisord]",
        "nodaemon=true",
        "silent=true",
        f"logfile={escape(str(home.supervisor_log))}",
        "logfile_maxbytes=0",
        f"pidfile={escape(str(home.root / 'supervisord.pid'))}",
        f"childlogdir={escape(str(home.logs))}",
        f"directory={escape(str(home.root))}",
        f"minfds={descriptors}",
        "umask=077",
        f"environment={_twice(_environment({**inherited, HOME_MARK: str(home.root)}))}",
        *(["user=root"] if root else []),  # supervisord warns about root unless it is asked for
        "",
        "[unix_http_server]",
        f"file={escape(str(home.supervisor_socket))}",
        "chmod=0600",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for process in processes:
        lines += ["", *_program(process, home)]
    return "\n".join(lines) + "\n"


def descriptors_possible() -> int:
    """How many open files supervisord may ask for: what we want, or the hard limit of this session."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(DESCRIPTORS_WANTED, hard)


def check_descriptors() -> None:
    """Raises Trouble when this session may not open the files that a system has open."""
    possible = descriptors_possible()
    if possible < DESCRIPTORS_MIN:
        raise Trouble(
            f"this session may open {possible} files, and a system wants {DESCRIPTORS_MIN}: raise its hard limit "
            f"(ulimit -n {DESCRIPTORS_WANTED}, or a new login), then run this again"
        )


def restarts_in(log: str) -> dict[str, int]:
    """How often each process ended without being asked to, as supervisord's log tells it."""
    counts: dict[str, int] = {}
    for name in re.findall(r"exited: (\S+) \(", log):
        counts[name] = counts.get(name, 0) + 1
    return counts


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """One process as supervisord sees it. `pid` is 0 when it does not run."""

    name: str
    state: str
    pid: int
    up_s: int
    why: str


_HALF_ANSWERS = (
    http.client.HTTPException,
    xmlrpc.client.ProtocolError,
    xmlrpc.client.ResponseError,
    xml.parsers.expat.ExpatError,
)


class _Connection(http.client.HTTPConnection):
    """Closed with what it answered: an answer that was read by half keeps the socket open."""

    _answer: http.client.HTTPResponse | None = None

    def getresponse(self) -> http.client.HTTPResponse:
        self._answer = super().getresponse()
        return self._answer

    def close(self) -> None:
        super().close()
        if self._answer is not None:
            self._answer.close()


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__()
        self._path = str(path)
        self._timeout_s = timeout_s

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _Connection("localhost", timeout=self._timeout_s)
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.settimeout(self._timeout_s)
        try:
            channel.connect(self._path)
        except OSError:
            channel.close()
            raise
        connection.sock = channel
        self._connection = (host, connection)  # what the base class's close() closes
        return connection


class Supervisor:
    """The supervisord of one home. Every call raises OSError when none answers there."""

    def __init__(self, home: Home) -> None:
        self._home = home

    @contextlib.contextmanager
    def _rpc(self, timeout_s: float = RPC_TIMEOUT_S) -> Iterator[Any]:
        proxy = xmlrpc.client.ServerProxy(
            "http://localhost/RPC2", transport=_UnixTransport(self._home.supervisor_socket, timeout_s)
        )
        with proxy:
            try:
                yield proxy.supervisor
            except xmlrpc.client.Fault as fault:
                if fault.faultCode != SHUTDOWN_STATE:
                    raise
                raise ConnectionResetError("supervisord ends just now") from fault
            except _HALF_ANSWERS as error:
                raise ConnectionResetError(f"supervisord gave half an answer: {error!r}") from error

    def answers(self) -> bool:
        """Whether a supervisord serves this home."""
        try:
            with self._rpc(LOOK_TIMEOUT_S) as rpc:
                return str(rpc.getState()["statename"]) == "RUNNING"
        except OSError:
            return False

    def pid(self) -> int:
        """supervisord's own process id."""
        with self._rpc(LOOK_TIMEOUT_S) as rpc:
            return int(rpc.getPID())

    def launch(self) -> subprocess.Popen[bytes]:
        """Start a supervisord for this home, in a session of its own: a Ctrl-C at our terminal does not reach it."""
        self._home.supervisor_log.unlink(missing_ok=True)
        self._home.supervisor_socket.unlink(missing_ok=True)
        with (self._home.logs / "supervisord.stderr").open("wb") as errors:
            return subprocess.Popen(
                [sys.executable, "-P", SUPERVISE, "-c", self._home.supervisor_config],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                cwd=self._home.root,
                env={"PATH": "/usr/bin:/bin", **marks(self._home, os.environ)},
            )

    def states(self) -> list[State]:
        """Every process, in the table's order."""
        with self._rpc(LOOK_TIMEOUT_S) as rpc:
            found = rpc.getAllProcessInfo()
        return [
            State(
                name=str(one["name"]),
                state=str(one["statename"]).lower(),
                pid=int(one["pid"]),
                up_s=max(0, int(one["now"]) - int(one["start"])) if one["pid"] else 0,
                why=str(one["spawnerr"]).replace("(process log may have details)", "").strip(),
            )
            for one in found
        ]

    def restarts(self) -> dict[str, int]:
        """How often each process has died since supervisord started."""
        try:
            return restarts_in(self._home.supervisor_log.read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            return {}

    def start(self, name: str) -> None:
        """Ask for a process to run; returns at once. One that runs already is left alone."""
        self._ask("startProcess", name, {"ALREADY_STARTED"})

    def stop(self, name: str) -> None:
        """Ask a process to end by SIGTERM, by SIGKILL after its wait; returns at once."""
        self._ask("stopProcess", name, {"NOT_RUNNING"})

    def _ask(self, verb: str, name: str, harmless: set[str]) -> None:
        with self._rpc() as rpc:
            try:
                getattr(rpc, verb)(name, False)
            except xmlrpc.client.Fault as fault:
                if not any(word in fault.faultString for word in harmless):
                    raise Trouble(f"supervisord refused {verb} {name}: {fault.faultString}") from fault

    def adopt(self, config: str) -> None:
        """Take a new configuration: processes that are new in it become known (not started); ended ones are forgotten."""
        write_private(self._home.supervisor_config, config)
        with self._rpc() as rpc:
            [[added, _changed, removed]] = rpc.reloadConfig()
            for name in removed:
                rpc.removeProcessGroup(name)
            for name in added:
                rpc.addProcessGroup(name)

    def shut_down(self) -> None:
        """Ask supervisord to stop what still runs and to end."""
        with self._rpc() as rpc:
            rpc.shutdown()
