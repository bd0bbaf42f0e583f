"""A private RabbitMQ: its files, its environment, and its end. No systemd, any user, loopback only."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from scripts.local.home import Home, write_private
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


def server() -> Path:
    """The broker's start script. Raises Trouble when there is none."""
    for path in SERVERS:
        if path.exists():
            return path
    raise Trouble(
        "RabbitMQ is not installed: run scripts/install-tools, or set AMQP_URL to a broker of yours"
    )


def write_files(home: Home, ports: Ports) -> None:
    """The configuration of the private broker; the default user is made at the first start only."""
    password = home.secret("amqp_password").read_text(encoding="utf-8").strip()
    lines = (
        f"listeners.tcp.1 = 127.0.0.1:{ports.amqp}",
        "management.tcp.ip = 127.0.0.1",
        f"management.tcp.port = {ports.amqp_management}",
        f"default_user = {USER}",
        f"default_pass = {password}",
        "disk_free_limit.absolute = 100MB",
        "log.console = true",
        "log.console.level = warning",
        "log.file = false",
    )
    write_private(home.root / "etc" / "rabbitmq" / "rabbitmq.conf", "\n".join(lines) + "\n")
    write_private(home.root / "etc" / "rabbitmq" / "enabled_plugins", "[rabbitmq_management].\n")
    write_private(home.root / "etc" / "rabbitmq" / "inetrc", INETRC)
    (home.data / "rabbitmq").mkdir(parents=True, exist_ok=True, mode=0o700)


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
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
        # The start script then becomes the Erlang machine instead of waiting beside it: the supervisor's child is the
        # broker itself, so that kill -9 leaves no orphan on the broker's ports.
        "detached": "1",
    }


def end_port_mapper(ports: Ports) -> None:
    """Ask this system's own epmd to end; it refuses while a broker is still registered, and that is well."""
    epmd = shutil.which("epmd")
    if epmd is None:
        return
    subprocess.run(
        [epmd, "-kill"],
        env={**os.environ, "ERL_EPMD_PORT": str(ports.epmd), "ERL_EPMD_ADDRESS": "127.0.0.1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=10,
        check=False,
    )
