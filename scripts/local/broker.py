"""A private RabbitMQ: its files, its environment, and its end. No systemd, any user, loopback only."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

from loadtests.stored import direct
from scripts.cluster import broker_users
from scripts.local.home import Home, password_name, write_private
from scripts.local.ports import Ports
from scripts.local.trouble import Trouble

USER = "dronedispatch"
# Erlang asks for "localhost" by name: here it is known whatever the machine's own /etc/hosts says of it.
INETRC = '{host, {127,0,0,1}, ["localhost"]}.\n{lookup, [file, native]}.\n'
# The wrapper that packages put on PATH insists on the package's own user; these do not.
SERVERS: Sequence[Path] = (
    Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),
    Path("/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server"),
    Path("/usr/local/opt/rabbitmq/sbin/rabbitmq-server"),
)
ON_LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"
"""For every Erlang machine: it talks to others of its kind on loopback only."""
EPMD_WAIT_S = 10.0


def server() -> Path:
    """The broker's start script. Raises Trouble when there is none."""
    for path in SERVERS:
        if path.exists():
            return path
    raise Trouble(
        "RabbitMQ is not installed: run scripts/install-tools, or set AMQP_URL to a broker of yours"
    )


def write_files(home: Home, ports: Ports) -> None:
    """The configuration of the private broker, and its definitions, which it reads at every start."""
    etc = home.root / "etc" / "rabbitmq"
    lines = (
        f"listeners.tcp.1 = 127.0.0.1:{ports.amqp}",
        "management.tcp.ip = 127.0.0.1",
        f"management.tcp.port = {ports.amqp_management}",
        f"load_definitions = {etc / 'definitions.json'}",
        "disk_free_limit.absolute = 100MB",
        "log.console = true",
        "log.console.level = warning",
        "log.file = false",
    )
    write_private(etc / "rabbitmq.conf", "\n".join(lines) + "\n")
    write_private(etc / "definitions.json", json.dumps(definitions(home), indent=1) + "\n")
    write_private(etc / "enabled_plugins", "[rabbitmq_management].\n")
    write_private(etc / "inetrc", INETRC)
    (home.data / "rabbitmq").mkdir(parents=True, exist_ok=True, mode=0o700)


def definitions(home: Home) -> dict[str, Any]:
    """A user for each service, and ours, who may do everything: operators, and processes of the release before."""
    names = {USER: "amqp_password", **{service: password_name(service) for service in broker_users.SERVICES}}
    passwords = {user: home.secret(name).read_text(encoding="utf-8").strip() for user, name in names.items()}
    return broker_users.definitions("/", passwords, operator=USER)


def give_users(home: Home, ports: Ports) -> None:
    """Tell the running broker its definitions: one that was started by the release before has one user only.

    One that does not answer reads them when it starts again: that is said, and stops nothing. Raises Trouble if it refuses.
    """
    document = definitions(home)
    write_private(home.root / "etc" / "rabbitmq" / "definitions.json", json.dumps(document, indent=1) + "\n")
    password = home.secret("amqp_password").read_text(encoding="utf-8").strip()
    headers = {
        "content-type": "application/json",
        "authorization": f"Basic {base64.b64encode(f'{USER}:{password}'.encode()).decode()}",
    }
    url = f"http://127.0.0.1:{ports.amqp_management}/api/definitions"
    request = urllib.request.Request(url, json.dumps(document).encode(), headers)
    try:
        direct().open(request, timeout=120).close()
    except urllib.error.HTTPError as error:
        raise Trouble(
            f"the broker does not take its users: {error}; look into {home.log('rabbitmq')}"
        ) from error
    except (OSError, HTTPException) as error:
        print(f"  the broker does not answer ({error}): it reads its users when it starts again")


def environment(home: Home, ports: Ports) -> dict[str, str]:
    """What the broker's start script is told."""
    etc, data = home.root / "etc" / "rabbitmq", home.data / "rabbitmq"
    return {
        "HOME": str(data),  # the Erlang cookie is made there
        "RABBITMQ_NODENAME": "dronedispatch@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(ports.amqp),
        "RABBITMQ_DIST_PORT": str(ports.amqp_distribution),
        "ERL_EPMD_PORT": str(ports.epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_INETRC": str(etc / "inetrc"),
        "ERL_CRASH_DUMP_SECONDS": "0",  # writing one takes most of a minute, in which nothing restarts
        "RABBITMQ_MNESIA_BASE": str(data / "mnesia"),
        "RABBITMQ_LOG_BASE": str(data / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(data / "pid"),
        "RABBITMQ_CONFIG_FILE": str(etc / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(etc / "enabled_plugins"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{ON_LOOPBACK} +sbwt none +sbwtdcpu none +sbwtdio none",
        "ERL_ZFLAGS": ON_LOOPBACK,  # for the helpers, too, that the broker starts: one listens while it starts epmd
        # The start script then becomes the Erlang machine instead of waiting beside it: the supervisor's child is the
        # broker itself, so that kill -9 leaves no orphan on the broker's ports.
        "detached": "1",
    }


def end_port_mapper(ports: Ports) -> None:
    """Ask this system's own epmd to end; it refuses while a broker is still registered, and that is well."""
    epmd = shutil.which("epmd")
    if epmd is None:
        return
    where = {"ERL_EPMD_PORT": str(ports.epmd), "ERL_EPMD_ADDRESS": "127.0.0.1"}
    # Where it is not heard, who ends the home's processes ends it as well.
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        command = [epmd, "-kill"]
        subprocess.run(command, env=os.environ | where, capture_output=True, timeout=EPMD_WAIT_S, check=False)
