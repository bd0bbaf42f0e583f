"""The real system, driven from outside as a person would: by its scripts, its public API and its store."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.local import status, traffic
from scripts.local.home import CHECKOUT, Home
from scripts.local.ports import Ports
from scripts.local.supervisor import Supervisor
from scripts.local.system import of_home

from dronedispatch.fleet.city import default_city
from support.commands import ran
from support.ports import free_ports
from support.signals import send
from support.waiting import patient_s, wait_until

AGAIN = frozenset({429, 503, 504})
"""With these the system asks to be asked again."""

_keys = itertools.count()
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Caller:
    """A client with one kept connection; not shared between threads."""

    def __init__(self, port: int, timeout_s: float = 20.0) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)

    def ask(
        self, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request. Raises OSError or HTTPException when there is no answer; the next call connects anew."""
        data = None if body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} if data else {}
        try:
            self._connection.request(method, target, data, {**given, **(headers or {})})
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, content)

    def insist(
        self, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """`ask` as a client does that is told "later" or "unknown": again, an order under the same key each time.

        For what is the way to a claim and not the claim: a machine with much else to do may answer late.
        """
        given = dict(headers or {})
        if method == "POST":
            given.setdefault("Idempotency-Key", f"insist-{os.getpid()}-{next(_keys)}")
        last: list[Answer] = []

        def told() -> bool:
            with contextlib.suppress(OSError, http.client.HTTPException):
                last[:] = [self.ask(method, target, body, given)]
                return last[0].status not in AGAIN
            return False

        wait_until(told, f"an answer to {method} {target}")
        return last[0]

    def close(self) -> None:
        self._connection.close()


class LiveSystem:
    """One home. Nothing here reaches into our code except for the table of ports."""

    def __init__(self, home: Path, ports: Ports) -> None:
        self.home = home
        self.ports = ports
        self.url = f"http://127.0.0.1:{ports.lb}"

    # By its scripts

    def script(
        self, name: str, *arguments: str, timeout_s: float = 1200.0, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run scripts/<name> for this home; its exit code is the caller's to judge."""
        return ran(
            [CHECKOUT / "scripts" / name, *arguments, "--home", self.home],
            {**os.environ, **(environ or {})},
            timeout_s=timeout_s,
        )

    def up(self, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
        """Start it, detached; returns what scripts/up printed."""
        done = self.script("up", "--detach", "--port-base", str(self.ports.base), *arguments, environ=environ)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def place(self, number: int, *, seed: int, **more: object) -> list[str]:
        """Orders between servable places, through the public API; their ids."""
        rng = random.Random(seed)
        return self.place_all([traffic.order(default_city(), rng) | more for _ in range(number)])

    def place_all(self, bodies: Sequence[Mapping[str, object]]) -> list[str]:
        """These orders, one after another over one connection; their ids."""
        with contextlib.closing(self.caller()) as caller:
            answers = [caller.insist("POST", "/deliveries", body) for body in bodies]
        assert {answer.status for answer in answers} == {201}, [a for a in answers if a.status != 201][:3]
        return [str(answer.document["id"]) for answer in answers]

    @contextlib.contextmanager
    def attached(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start it as at a terminal; the block begins when it is healthy, and ends it if that is still to do."""
        words = [
            f"{CHECKOUT}/scripts/up",
            f"--home={self.home}",
            f"--port-base={self.ports.base}",
            *arguments,
        ]
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        ) as terminal:
            try:
                assert terminal.stdout is not None
                said = []
                for line in terminal.stdout:
                    said.append(line)
                    if "until Ctrl-C" in line:
                        break
                assert terminal.poll() is None, "".join(said)
                yield terminal
            finally:
                if terminal.poll() is None:
                    terminal.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    terminal.wait(240)
                terminal.kill()

    def down(self) -> None:
        done = self.script("down")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    def status(self) -> dict[str, dict[str, Any]]:
        """Process name -> its row of scripts/status."""
        done = self.script("status", "--json", timeout_s=240)
        assert done.stdout.startswith("["), done.stderr
        return {row["process"]: row for row in json.loads(done.stdout)}

    def rows(self) -> dict[str, dict[str, Any]]:
        """What `status` tells, without a new Python for each look: for waits."""
        return {row["process"]: row for row in status.rows(of_home(Home(self.home)))}

    def all_healthy(self) -> bool:
        return all(row["healthy"] for row in self.rows().values())

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal one process, and wait until that has taken hold; returns the pid that it had."""
        pid = self.pid(name)
        send(pid, number)
        return pid

    @property
    def fleet_size(self) -> int:
        """Drones, as the home was started last."""
        kept = json.loads((self.home / "system.json").read_text(encoding="utf-8"))
        return int(kept["options"]["drones"])

    def pid(self, name: str) -> int:
        pid = next(one.pid for one in Supervisor(Home(self.home)).states() if one.name == name)
        assert pid, f"{name} does not run"
        return pid

    @contextlib.contextmanager
    def nobody_restarted(self) -> Iterator[None]:
        """While the block runs, what dies stays dead: the supervisor itself is stopped."""
        pid = Supervisor(Home(self.home)).pid()
        send(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self, service: str) -> Iterator[None]:
        """While the block runs, every process of `service` is stopped by SIGSTOP, and none is made anew."""
        states = Supervisor(Home(self.home)).states()
        pids = [one.pid for one in states if one.pid and one.name.rpartition("-")[0] == service]
        assert pids, f"no {service} runs"
        with self.nobody_restarted():
            try:
                for pid in pids:
                    send(pid, signal.SIGSTOP)
                yield
            finally:
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)

    def supervise(self, verb: str, name: str) -> None:
        """start or stop one process by its supervisor, and wait for it."""
        supervisor = Supervisor(Home(self.home))
        (supervisor.stop if verb == "stop" else supervisor.start)(name)
        wanted = "stopped" if verb == "stop" else "running"
        wait_until(
            lambda: any(one.name == name and one.state == wanted for one in supervisor.states()),
            f"{name} is {wanted}",
            40,
        )

    # By its API

    def caller(self) -> Caller:
        return Caller(self.ports.lb)

    def get(self, target: str, headers: Mapping[str, str] | None = None) -> Any:
        """A decoded 200 answer of the public API."""
        with contextlib.closing(self.caller()) as caller:
            answer = caller.insist("GET", target, headers=headers)
        assert answer.status == 200, (target, answer)
        return answer.document

    def deliveries(self) -> list[dict[str, Any]]:
        """Every delivery there is, by the export."""
        with contextlib.closing(self.caller()) as caller:
            answer = caller.insist("GET", "/deliveries", headers={"Accept": "application/x-ndjson"})
        assert answer.status == 200, answer
        return [json.loads(line) for line in answer.body.splitlines()]

    def drones(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/drones")["drones"]
        return found

    def lb_requests(self) -> dict[str, int]:
        """Gateway id -> requests that the lb has sent there, of every gateway in its table."""
        token = (self.home / "tokens" / "operator").read_text(encoding="utf-8").strip()
        with contextlib.closing(Caller(self.ports.lb_control)) as caller:
            answer = caller.ask("GET", "/table", headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 200, answer
        return {row["id"]: row["requests"] for row in answer.document["gateways"]}

    # By its store and its catalogue

    def consul(self, path: str) -> Any:
        """A decoded answer of the private Consul."""
        with _OPENER.open(f"http://127.0.0.1:{self.ports.consul_http}{path}", timeout=5) as answer:
            return json.load(answer)

    def passing(self, service: str) -> list[dict[str, Any]]:
        """The catalogue's entries of the passing instances."""
        return [entry["Service"] for entry in self.consul(f"/v1/health/service/{service}?passing=1")]

    def stored(self, prefix: str) -> dict[str, Any]:
        """Key -> decoded value, read from a coordinator of the store, past every gateway."""
        front = self.passing("kvfront")[0]
        token = (self.home / "tokens" / "store").read_text(encoding="utf-8").strip()
        found: dict[str, Any] = {}
        after: str | None = ""
        with contextlib.closing(Caller(front["Port"])) as caller:
            while after is not None:
                query = {"prefix": prefix, "limit": "500"} | ({"after": after} if after else {})
                answer = caller.ask(
                    "GET",
                    f"/kv?{urllib.parse.urlencode(query)}",
                    headers={"Authorization": f"Bearer {token}"},
                )
                assert answer.status == 200, answer
                found |= {item["key"]: json.loads(item["value"]) for item in answer.document["items"]}
                after = answer.document["next_after"]
        return found


class Events:
    """Everything that GET /events tells from now on; it comes back with Last-Event-ID when it is cut off."""

    def __init__(self, system: LiveSystem, topics: str = "delivery,drones") -> None:
        self._system = system
        self._topics = topics
        self._stopping = threading.Event()
        self._last_id = ""
        self.deliveries: list[dict[str, Any]] = []
        self.sightings: list[dict[str, Any]] = []  # of drones
        self.resets = 0
        self.connected = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Events:
        self._thread.start()
        assert self.connected.wait(patient_s()), "no event stream"
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(patient_s())

    def _run(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException, urllib.error.URLError):
                self._listen()
            self._stopping.wait(0.2)

    def _listen(self) -> None:
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        request = urllib.request.Request(f"{self._system.url}/events?topics={self._topics}", headers=headers)
        with _OPENER.open(request, timeout=15) as stream:
            self.connected.set()
            event: dict[str, str] = {}
            while not self._stopping.is_set():
                raw = stream.readline()
                if not raw:
                    return  # the stream has ended: come back
                line = raw.decode().rstrip("\n")
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                    continue
                self._take(event)
                event = {}

    def _take(self, event: Mapping[str, str]) -> None:
        kind = event.get("event")
        if "id" in event:
            self._last_id = event["id"]
        if kind == "delivery":
            self.deliveries.append(json.loads(event["data"]))
        elif kind == "drones":
            self.sightings += json.loads(event["data"])["drones"]
        elif kind == "reset":
            self.resets += 1


def eventually(condition: Callable[[], object], what: str, ordinary_s: float) -> None:
    """Like wait_until, for conditions that ask over the network: an answer that does not come is a not-yet."""

    def holds() -> object:
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
            return condition()
        return False

    wait_until(holds, what, ordinary_s)


@contextlib.contextmanager
def running_system(name: str, *arguments: str) -> Iterator[LiveSystem]:
    """A system that starts empty, for the length of the block; its logs are kept as the artefact `<name>-logs[-worker]`."""
    # Not under pytest's own directory: another run of the same user would clear that away while this system runs.
    home = Path(tempfile.mkdtemp(prefix=f"dronedispatch-{name}-"))
    live = LiveSystem(home, free_ports())
    try:
        live.up("--fresh", *arguments)
        yield live
    finally:
        worker = os.environ.get("PYTEST_XDIST_WORKER")
        kept = CHECKOUT / ".artifacts" / (f"{name}-logs-{worker}" if worker else f"{name}-logs")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(home / "logs", kept)
        live.down()
        shutil.rmtree(home)
