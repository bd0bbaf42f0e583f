"""A private single Consul server: its configuration, and what its catalogue says about health."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

from loadtests.stored import direct
from scripts.local.home import CHECKOUT, Home, write_private
from scripts.local.ports import Ports
from scripts.local.trouble import Trouble

VERSION_WITHIN_S = 120.0


def binary() -> Path:
    """The consul program: on PATH or in .tools/bin. Raises Trouble when there is none."""
    found = shutil.which("consul") or shutil.which("consul", path=str(CHECKOUT / ".tools" / "bin"))
    if found is None:
        raise Trouble(
            "Consul is not installed: run scripts/install-tools, or put a consul binary into .tools/bin"
        )
    return Path(found)


def version(program: Path) -> tuple[int, int]:
    """Major and minor of the program. Raises Trouble when it does not say."""
    answer = b""
    # Another machine's program, or a broken one, says nothing.
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        answer = subprocess.run(
            [program, "version"], input=b"", capture_output=True, timeout=VERSION_WITHIN_S, check=False
        ).stdout
    match = re.search(rb"v(\d+)\.(\d+)", answer)
    if match is None:
        raise Trouble(f"{program} does not tell its version: replace it by a Consul of 1.8 or newer")
    return int(match[1]), int(match[2])


def configuration(ports: Ports, data: Path, release: tuple[int, int], *, broker: bool) -> dict[str, Any]:
    """The server's configuration for Consul `release`; RabbitMQ is registered by it, and so survives every restart."""
    closed = {"dns": -1, "grpc": -1, "serf_wan": -1}
    if release >= (1, 14):
        closed["grpc_tls"] = -1  # unknown to older ones, on by default since
    config: dict[str, Any] = {
        "server": True,
        "bootstrap_expect": 1,
        "node_name": "one-machine",
        "datacenter": "dc1",
        "data_dir": str(data),
        "bind_addr": "127.0.0.1",
        "client_addr": "127.0.0.1",
        "ports": {
            **closed,
            "http": ports.consul_http,
            "server": ports.consul_rpc,
            "serf_lan": ports.consul_serf,
        },
        "performance": {"raft_multiplier": 1},
        # Every process of the system is the same client: 127.0.0.1.
        "limits": {"http_max_conns_per_client": 4000},
        "disable_update_check": True,
        "log_level": "WARN",
    }
    config |= {"ui_config": {"enabled": True}} if release >= (1, 9) else {"ui": True}
    if broker:
        where = f"127.0.0.1:{ports.amqp}"
        check = {"name": "AMQP port", "tcp": where, "interval": "1s", "timeout": "1s"}
        own = {"id": "rabbitmq", "name": "rabbitmq", "address": "127.0.0.1", "port": ports.amqp}
        config["services"] = [own | {"checks": [check]}]
    return config


def write_files(home: Home, ports: Ports, *, broker: bool) -> None:
    """Write the configuration for the program that is installed."""
    (home.data / "consul").mkdir(parents=True, exist_ok=True, mode=0o700)
    config = configuration(ports, home.data / "consul", version(binary()), broker=broker)
    write_private(home.root / "etc" / "consul.json", json.dumps(config, indent=2) + "\n")


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """What Consul says about one registered instance."""

    service: str
    passing: bool
    output: str  # of its first check that does not pass; "" when all pass
    degraded: tuple[str, ...] = ()  # why it serves less than it promises, each with what to do


def health_of(checks: Iterable[Mapping[str, Any]]) -> dict[str, Health]:
    """Instance id -> health, from the checks that Consul lists; an instance passes when all of its checks do."""
    found: dict[str, Health] = {}
    for check in checks:
        instance = str(check.get("ServiceID", ""))
        if not instance:
            continue  # a check of the node itself
        passing = check.get("Status") == "passing"
        before = found.get(instance)
        if before is None or (before.passing and not passing):
            said = " ".join(str(check.get("Output", "")).split())
            found[instance] = Health(
                str(check.get("ServiceName", "")), passing, "" if passing else said, reasons_in(said)
            )
    return found


def reasons_in(output: str) -> tuple[str, ...]:
    """What the health document in a check's output names as reasons, each with the next command to type."""
    start = output.find("{")
    try:
        document = json.loads(output[start:]) if start >= 0 else {}
    except ValueError:
        return ()
    reasons = document.get("reasons") if isinstance(document, dict) else None
    return tuple(
        f"{one['text']} -> {one['next']}"
        for one in reasons or ()
        if isinstance(one, dict) and {"text", "next"} <= one.keys()
    )


class Consul:
    """The few questions that the scripts ask the private server."""

    def __init__(self, ports: Ports) -> None:
        self.base = f"http://127.0.0.1:{ports.consul_http}"

    def _get(self, path: str) -> Any:
        """The decoded answer; None when there is no server, no leader or no such thing."""
        try:
            with direct().open(f"{self.base}{path}", timeout=3) as answer:
                return json.load(answer)
        except (OSError, HTTPException, ValueError):
            return None

    def leads(self) -> bool:
        """Whether the server answers and has elected itself."""
        return bool(self._get("/v1/status/leader"))

    def health(self) -> dict[str, Health]:
        """Instance id -> health of everything registered; empty when Consul does not answer."""
        # The catalogue's outputs lag behind the agent's.
        checks: Mapping[str, Mapping[str, Any]] | None = self._get("/v1/agent/checks")
        return health_of((checks or {}).values())

    def instances(self, service: str) -> list[str]:
        """The ids that are registered under one service name, healthy or not."""
        entries: Sequence[Mapping[str, Any]] | None = self._get(f"/v1/catalog/service/{service}")
        return [str(entry["ServiceID"]) for entry in entries or ()]
