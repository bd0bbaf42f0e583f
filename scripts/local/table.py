"""The one table of the processes of a system: what runs, with which environment, in which order it starts and stops."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path

from scripts.local import broker, consul
from scripts.local.home import AMQP_SERVICES, CHECKOUT, Home, password_name
from scripts.local.options import Options

TRAFFIC_TIER = 6
PREFIXES = ("LB_", "GATEWAY_", "KVFRONT_", "KVSTORE_", "DISPATCHER_", "DRONE_SIM_")
SHARED = ("AMQP_URL", "AMQP_VHOST")
HOME_MARK = (
    "DRONEDISPATCH_HOME"  # in the environment of every process of a home, so that none of them is ever missed
)
RUN_MARK = "DD_TEST_RUN"
"""In the environment of all that a run of the suites starts, a home's processes included."""
EVERYWHERE = ("0.0.0.0", "::")
STOP_WAIT_S = 25  # above the services' drain time, so that each of them closes by itself


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """One supervised process. Tiers start upward and stop downward."""

    name: str
    service: str  # its name in Consul; "" when it is not registered there
    tier: int
    command: tuple[str, ...]
    environment: Mapping[str, str]
    stop_wait_s: int = STOP_WAIT_S
    directory: Path = CHECKOUT
    socket: str | None = None  # a listening socket that supervisord holds and hands down as descriptor 0


def marks(home: Home, environ: Mapping[str, str]) -> dict[str, str]:
    """By which a process of this home is found again: by its home, and by the run of the suites that began it."""
    return {HOME_MARK: str(home.root)} | {name: environ[name] for name in (RUN_MARK,) if name in environ}


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the caller's environment reaches the processes: the way to programs, the locale, settings of ours."""
    kept = {name: environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR") if name in environ}
    kept.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return kept | own_settings(environ)


def own_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the caller's environment are settings of ours."""
    return {name: value for name, value in environ.items() if name.startswith(PREFIXES) or name in SHARED}


def service_environment(home: Home, options: Options, service: str = "") -> dict[str, str]:
    """What every service of ours needs to find Consul and to be let in; "": what an operator's programs need."""
    user, password = broker.USER, "amqp_password"
    if service in AMQP_SERVICES:
        user, password = service, password_name(service)
    return {
        "CONSUL_HTTP_ADDR": f"127.0.0.1:{options.ports.consul_http}",
        "STORE_TOKEN_FILE": str(home.secret("store")),
        "OPERATOR_TOKEN_FILE": str(home.secret("operator")),
        "METRICS_TOKEN_FILE": str(home.secret("metrics")),
        "SERVICE_SECRET_FILE": str(home.secret("service")),
        "AMQP_USER": user,
        "AMQP_PASSWORD_FILE": str(home.secret(password)),
        "PYTHONUNBUFFERED": "1",
    }


def program() -> str:
    """The entry point of our services in the environment that runs this."""
    return str(Path(sys.executable).parent / "dronedispatch")


def processes(home: Home, options: Options, *, own_broker: bool) -> tuple[Program, ...]:
    """Every process of the system that `options` describe, by tier."""
    foundations = [_consul(home)]
    if own_broker:
        foundations.append(_rabbitmq(home, options))
    return (*foundations, *services(home, options))


def services(home: Home, options: Options) -> tuple[Program, ...]:
    """Our own processes: the store at the bottom, the door at the top."""
    world = {"SPEED": f"{options.speed:g}"}
    fleet = world | {
        "DRONES": str(options.drones),
        "TICK_MS": str(options.tick_ms),
        "SEED": str(options.seed),
    }
    rows: list[Program] = []
    for n in range(1, options.kvstores + 1):
        data = home.data / f"kvstore-{n}"
        rows.append(_service(home, options, "kvstore", n, 1, {"DATA_DIR": str(data), "NAME": f"kvstore-{n}"}))
    rows += [_service(home, options, "kvfront", n, 2, {}) for n in range(1, options.kvfronts + 1)]
    rows += [_service(home, options, "dispatcher", n, 3, world) for n in range(1, options.dispatchers + 1)]
    rows += [_service(home, options, "drone-sim", n, 3, fleet) for n in range(1, options.drone_sims + 1)]
    rows += [gateway(home, options, n) for n in range(1, options.gateways + 1)]
    rows.append(_lb(home, options))
    if options.orders_per_minute:
        rows.append(_traffic(home, options))
    return tuple(rows)


def gateway(home: Home, options: Options, n: int) -> Program:
    """The n-th gateway; scripts/scale adds and removes these."""
    return _service(home, options, "gateway", n, 4, {"SPEED": f"{options.speed:g}"})


def _service(
    home: Home, options: Options, service: str, n: int, tier: int, settings: Mapping[str, str]
) -> Program:
    prefix = service.replace("-", "_").upper()
    own = {"HOST": "127.0.0.1", "INSTANCE": f"{service}-{n}", **settings}
    return Program(
        name=f"{service}-{n}",
        service=service,
        tier=tier,
        command=(program(), service),
        environment=service_environment(home, options, service)
        | {f"{prefix}_{key}": value for key, value in own.items()},
    )


def _lb(home: Home, options: Options) -> Program:
    settings = {
        # Of the control plane: the public socket is the supervisor's, and only that one may face the world.
        "LB_HOST": "127.0.0.1" if options.listen in EVERYWHERE else options.listen,
        "LB_PORT": str(options.ports.lb),
        "LB_CONTROL_PORT": str(options.ports.lb_control),
        "LB_INSTANCE": "lb-1",
        "LB_ACCESS_LOG": str(home.logs / "access.log"),
        "LB_LISTEN_FD": "0",
    }
    return Program(
        name="lb-1",
        service="lb",
        tier=5,
        command=(program(), "lb"),
        environment=service_environment(home, options) | settings,
        # Inherited, so that LB_PROCESSES=2 and SIGUSR2 can exchange doors without a refused client. With one process
        # supervisord closes this socket when that process ends: a restart of it refuses connections for a moment.
        socket=f"tcp://{options.listen}:{options.ports.lb}",
    )


def _consul(home: Home) -> Program:
    command = (str(consul.binary()), "agent", f"-config-file={home.root / 'etc' / 'consul.json'}")
    return Program("consul", "", 0, command, {"HOME": str(home.root)}, directory=home.root)


def _rabbitmq(home: Home, options: Options) -> Program:
    environment = broker.environment(home, options.ports)
    return Program("rabbitmq", "rabbitmq", 0, (str(broker.server()),), environment, directory=home.root)


def _traffic(home: Home, options: Options) -> Program:
    command = (sys.executable, "-P", "-m", "scripts.local.traffic")
    arguments = (options.listen, str(options.ports.lb), f"{options.orders_per_minute:g}", str(options.seed))
    return Program(
        "traffic", "", TRAFFIC_TIER, (*command, *arguments), {"PYTHONPATH": str(CHECKOUT)}, stop_wait_s=5
    )
