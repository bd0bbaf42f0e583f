"""The system of one home as a whole: what it should be, what it is, and how it gets from one to the other."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from scripts.cluster.patience import Patience
from scripts.local import broker, consul, leftovers, table
from scripts.local.consul import Consul, Health
from scripts.local.home import DEFAULT, Home
from scripts.local.options import Options
from scripts.local.ports import better_base, holder, is_taken, outgoing_range, taken_port
from scripts.local.programs import run
from scripts.local.supervisor import State, Supervisor, configuration, descriptors_possible
from scripts.local.table import Program
from scripts.local.trouble import Trouble, not_interrupted

from dronedispatch.runtime.addresses import host_port
from dronedispatch.runtime.home import CERTIFICATE_VARIABLE, argument, damaged, door_url

HEALTHY_WITHIN_S = 300.0  # of a machine five times slower than ours, with others at work on it
DEATHS_MAX = 6  # a process that ends so often while we wait for it will not get well by itself
BOOTSTRAP_WITHIN_S = 300.0
SUPERVISOR_WITHIN_S = 120.0  # it took 22 s to answer where forty others wanted the same core
COPY_WITHIN_S = 20.0  # a copied replica whose slots another one has joins anew sooner than this
ADOPT = "kvctl adopt"
# Whoever takes requests stops first, whoever holds data last; the broker, slow to stop, goes beside the store.
STOP_WAVES: Sequence[Sequence[str]] = (
    ("traffic",),
    ("lb",),
    ("gateway", "dispatcher", "drone-sim"),
    ("kvfront", "rabbitmq"),
    ("kvstore", "rabbitmq"),
    ("consul",),
)

# Whose port it is, of those that Ports.to_bind names; the other ones are the broker's.
_PROCESS_OF = {
    "the load balancer": "lb-1",
    "the load balancer's control plane": "lb-1",
    "Consul": "consul",
    "Consul's RPC": "consul",
    "Consul's gossip": "consul",
}

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """One process, from both sides: the supervisor's and Consul's."""

    process: Program
    state: State | None
    health: Health | None
    deaths: int

    def why_not_healthy(self, *, consul_leads: bool) -> str | None:
        """What is missing; None when this process runs and does its work."""
        if self.state is None:
            return "not known to supervisord"
        if self.state.state != "running":
            return f"{self.state.state} {self.state.why}".strip()
        if self.process.name == "consul":
            return None if consul_leads else "has no leader yet"
        if not self.process.service:
            return None
        if self.health is None:
            return "not registered in Consul"
        if self.health.passing:
            return None
        why = "; ".join(self.health.degraded) or self.health.output[:200]
        return f"critical in Consul: {why}"


class System:
    """One home with the options that it runs, or should run, with."""

    def __init__(
        self,
        home: Home,
        options: Options,
        *,
        own_broker: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self.options = options
        self.own_broker = own_broker
        self.settings = dict(settings or {})  # of services, from the environment of the start
        self.supervisor = Supervisor(home)
        self.consul = Consul(options.ports)
        self._child: subprocess.Popen[bytes] | None = None  # the supervisord that we started ourselves

    @property
    def processes(self) -> tuple[Program, ...]:
        """The table."""
        return table.processes(self.home, self.options, own_broker=self.own_broker)

    @property
    def certificate(self) -> str:
        """The PEM file that the public door shows; "": it speaks plain HTTP."""
        return self.settings.get(CERTIFICATE_VARIABLE, "")

    @property
    def url(self) -> str:
        """The public door, as this machine reaches it."""
        return door_url(self.options.listen, self.options.ports.lb, self.certificate)

    # What it is

    def views(self) -> list[View]:
        """Every process of the table, now. Raises OSError when no supervisord answers."""
        states = {state.name: state for state in self.supervisor.states()}
        health = self.consul.health()
        deaths = self.supervisor.restarts()
        return [
            View(one, states.get(one.name), health.get(one.name), deaths.get(one.name, 0))
            for one in self.processes
        ]

    def unhealthy(self) -> dict[str, str]:
        """Name -> reason, of every process that is not healthy now."""
        leads = self.consul.leads()
        reasons = {view.process.name: view.why_not_healthy(consul_leads=leads) for view in self.views()}
        return {name: reason for name, reason in reasons.items() if reason is not None}

    # How it starts

    def check_ports(self, report: Report = print) -> None:
        """Raises Trouble when somebody else holds a port that we want; reports when a connection may take one later."""
        wanted = self.options.ports.to_bind(broker=self.own_broker)
        for purpose, port in wanted.items():
            public = purpose == "the load balancer"
            host = self.options.listen if public else "127.0.0.1"
            try:
                taken = any(is_taken(where, port, udp=udp) for where, udp in _probes(purpose, host))
            except OSError as error:
                raise Trouble(
                    f"cannot listen on {host_port(host, port)} for {purpose} ({error.strerror}): choose another "
                    f"{'address with --listen ADDR or ' if public else ''}port with --port-base N"
                ) from error
            if taken:
                raise Trouble(taken_port(port, purpose))
        outgoing = outgoing_range()
        risky = [port for port in wanted.values() if port in outgoing]
        if risky:
            report(
                f"note: port {risky[0]} is one of {outgoing.start} to {outgoing[-1]}, which this machine gives to outgoing "
                f"connections: one of them may hold it at a restart; {better_base(outgoing)}"
            )

    def write_files(self) -> None:
        """Configuration of Consul, of RabbitMQ and of supervisord."""
        ports = self.options.ports
        consul.write_files(self.home, ports, broker=self.own_broker)
        if self.own_broker:
            broker.write_files(self.home, ports)

    def supervisor_configuration(self, environ: Mapping[str, str]) -> str:
        """supervisord's file for the table of now; what the system was started with holds where `environ` is silent."""
        return configuration(
            self.processes,
            self.home,
            table.inherited({**self.settings, **environ}),
            descriptors=descriptors_possible(),
            root=os.geteuid() == 0,
        )

    def launch(self) -> None:
        """Start supervisord. Raises Trouble with its own words when it does not come up."""
        with not_interrupted():
            child = self._child = self.supervisor.launch()
        if not Patience(SUPERVISOR_WITHIN_S).until(
            lambda: child.poll() is not None or self.supervisor.answers()
        ):
            raise Trouble(
                f"supervisord does not answer after {SUPERVISOR_WITHIN_S:.0f} s: see {self.home.supervisor_log}"
            )
        if child.poll() is not None:
            said = (self.home.logs / "supervisord.stderr").read_text(encoding="utf-8", errors="replace")
            lines = [line for line in said.splitlines() if line.strip() and not line.startswith("For help")]
            raise Trouble(f"supervisord ended at once: {lines[-1] if lines else 'it said nothing'}")

    def start(self, report: Report) -> None:
        """Start every process, foundations first, and wait until each is healthy. Raises Trouble."""
        names: dict[int, list[str]] = {}
        for process in self.processes:
            names.setdefault(process.tier, []).append(process.name)
        watch = Watch(self, report)
        for name in names[0]:
            self.supervisor.start(name)
        watch.wait(["consul"])
        for name in names[1]:
            self.supervisor.start(name)
        traffic = names.pop(table.TRAFFIC_TIER, [])
        for tier in sorted(set(names) - {0, 1}):
            for name in names[tier]:
                self.supervisor.start(name)
        self._bootstrap_store(watch)
        watch.wait([process.name for process in self.processes if process.name not in traffic])
        for name in traffic:  # only now: the door is healthy, so there is a gateway in its table
            self.supervisor.start(name)
        watch.wait(traffic)

    def _bootstrap_store(self, watch: Watch) -> None:
        wanted = {one.name for one in self.processes if one.service == "kvstore"}
        watch.wait_for(
            lambda: wanted <= set(self.consul.instances("kvstore")),
            sorted(wanted),
            "registered",
            BOOTSTRAP_WITHIN_S,
        )
        environment = table.inherited(os.environ) | table.service_environment(self.home, self.options)
        counts = ("--rf", str(self.options.rf), "--replicas", str(self.options.kvstores))
        command = (table.program(), "kvctl", "bootstrap", *counts, "--within", f"{BOOTSTRAP_WITHIN_S:.0f}")
        done = run(command, timeout_s=BOOTSTRAP_WITHIN_S + 15, environ=environment, quiet=True)
        if done.code != 0:
            words = (done.output or "").strip().splitlines() or ["kvctl bootstrap said nothing"]
            raise Trouble(f"the store could not be made ready: {words[-1]}")

    # How it stops

    def stop(self, report: Report) -> None:
        """Stop every process in order, then supervisord, then whatever is left of this home."""
        if self.supervisor.answers():
            running = {state.name for state in self.supervisor.states() if state.state not in _AT_REST}
            for wave in STOP_WAVES:
                self.stop_processes([name for name in sorted(running) if _service_of(name) in wave], wave[0])
            pid = self.supervisor.pid()
            self.supervisor.shut_down()
            Patience(30).until(lambda: pid not in leftovers.pids_of(self.home))
        elif self._child is not None:  # interrupted before it answered
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(10)
        ended = self.end()
        if ended:
            report(f"ended {ended} process(es) that were left over")

    def end(self) -> int:
        """End whatever of this home runs, in no order; returns how many processes that were."""
        if self._child is not None:  # first, or it starts the others again; it may not carry our mark yet
            self._child.kill()
            self._child.wait()
        broker.end_port_mapper(self.options.ports)
        return leftovers.end(self.home)

    def stop_processes(self, names: Sequence[str], until: str = "") -> None:
        """Ask these to stop together and wait; with `until`, only for those of that service."""
        for name in names:
            self.supervisor.stop(name)
        awaited = {name for name in names if not until or _service_of(name) == until}

        def at_rest() -> bool:
            states = self.supervisor.states()
            return not any(one.name in awaited and one.state not in _AT_REST for one in states)

        Patience(table.STOP_WAIT_S + 5).until(at_rest)


def _probes(purpose: str, host: str) -> list[tuple[str, bool]]:
    """Where a port is tried, and whether by UDP: gossip wants both; RabbitMQ tries its distribution's on every address."""
    if purpose == "Consul's gossip":
        return [(host, False), (host, True)]
    return [("0.0.0.0" if purpose == "RabbitMQ's distribution" else host, False)]


_AT_REST = {"stopped", "exited", "fatal", "unknown"}


def _service_of(name: str) -> str:
    head, _, tail = name.rpartition("-")
    return head if tail.isdigit() else name


class Watch:
    """Waits for health, tells about each process once, and gives up with the reason."""

    def __init__(self, system: System, report: Report) -> None:
        self._system = system
        self._report = report
        self._began_s = time.monotonic()
        self._told: set[str] = set()
        self._copies_since_s: float | None = None

    def wait(self, names: Iterable[str], within_s: float = HEALTHY_WITHIN_S) -> None:
        """Until each of `names` is healthy. Raises Trouble, which names the process, the reason and its log."""
        awaited = list(names)
        self.wait_for(lambda: not self._missing(awaited), awaited, "healthy", within_s)

    def wait_for(
        self, condition: Callable[[], bool], names: Sequence[str], what: str, within_s: float
    ) -> None:
        """Until `condition`; meanwhile one of `names` that dies again and again ends the wait."""
        deadline = time.monotonic() + within_s
        before = self._system.supervisor.restarts()
        while not condition():
            self._give_up_on_the_dying(names, before)
            self._give_up_on_copies()
            if time.monotonic() >= deadline:
                missing = self._missing(names) or {names[0]: f"not {what}"}
                name, reason = next(iter(missing.items()))
                raise Trouble(self._sentence(name, f"is not {what} after {within_s:.0f} s ({reason})"))
            time.sleep(0.1)

    def _missing(self, names: Iterable[str]) -> dict[str, str]:
        unhealthy = self._system.unhealthy()
        copies = [reason for reason in unhealthy.values() if ADOPT in reason]
        self._copies_since_s = (self._copies_since_s or time.monotonic()) if copies else None
        for process in self._system.processes:
            if process.name not in unhealthy and process.name not in self._told:
                self._told.add(process.name)
                self._report(f"{time.monotonic() - self._began_s:5.1f} s  {process.name} is healthy")
        return {name: unhealthy[name] for name in names if name in unhealthy}

    def _give_up_on_the_dying(self, names: Iterable[str], before: Mapping[str, int]) -> None:
        now = self._system.supervisor.restarts()
        for name in names:
            if now.get(name, 0) > before.get(name, 0):
                self._blame_a_connection(name)
            if now.get(name, 0) - before.get(name, 0) >= DEATHS_MAX:
                raise Trouble(self._sentence(name, f"has ended {DEATHS_MAX} times"))

    def _give_up_on_copies(self) -> None:
        """Raises Trouble when files are a copy, and nobody has filled that replica from another one meanwhile."""
        since_s = self._copies_since_s
        if since_s is None or time.monotonic() - since_s < COPY_WITHIN_S:
            return
        home, consul_port = self._system.home, self._system.options.ports.consul_http
        store = shlex.quote(str(home.secret("store")))
        raise Trouble(
            "the store's files are a copy, and no replica has the ones that they were made of. If this is the whole store, "
            f"copied while it stood still: CONSUL_HTTP_ADDR=127.0.0.1:{consul_port} "
            f"STORE_TOKEN_FILE={store} dronedispatch kvctl adopt, then scripts/status{home_argument(home)}"
        )

    def _blame_a_connection(self, name: str) -> None:
        """Raises Trouble when an outgoing connection has taken a port of the process that died, since we looked."""
        wanted = self._system.options.ports.to_bind(broker=self._system.own_broker)
        for purpose, port in wanted.items():
            if _PROCESS_OF.get(purpose, "rabbitmq") == name and holder(port) == "connection":
                raise Trouble(f"{name} ended: {taken_port(port, purpose)}")

    def _sentence(self, name: str, what: str) -> str:
        return f"{name} {what}: see scripts/logs {name}{home_argument(self._system.home)}{_last_words(self._system, name)}"


def _last_words(system: System, name: str) -> str:
    try:
        lines = system.home.log(name).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n  it last said: " + lines[-1][:400] if lines else ""


def home_argument(home: Home) -> str:
    """What the other scripts must be told to find this home: nothing for the default one."""
    return "" if home.root == DEFAULT else f" {argument(home.root)}"


def not_running(home: Home) -> Trouble:
    """The sentence for a home whose supervisord does not answer."""
    up = f"scripts/up{home_argument(home)}"
    if leftovers.pids_of(home):
        return Trouble(
            f"the supervisord of {home.root} was killed or is silent, and its processes run on without it: run {up} again"
        )
    return Trouble(f"no system runs in {home.root}: start one with {up}")


def of_home(home: Home) -> System:
    """The system that was last started in `home`. Raises Trouble when there was none."""
    facts = home.recall()
    if facts is None:
        raise Trouble(f"nothing was ever started in {home.root}: run scripts/up{home_argument(home)}")
    known = {field.name for field in dataclasses.fields(Options)}
    try:
        return System(
            home,
            Options(**{name: value for name, value in facts["options"].items() if name in known}),
            own_broker=bool(facts.get("own_broker", True)),
            settings={name: os.fspath(value) for name, value in (facts.get("settings") or {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Trouble(damaged(home.root, error)) from error


def remember(system: System) -> None:
    """Keep what runs, for the other scripts and for the next start."""
    facts = {"options": dataclasses.asdict(system.options), "own_broker": system.own_broker}
    system.home.remember(facts | {"settings": system.settings})
