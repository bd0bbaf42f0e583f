"""Who gets in on the three hosts: nobody without a token, no service beyond its policy, and from outside the door only."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from functools import partial
from pathlib import Path

import pytest
from scripts.cluster import access
from scripts.cluster.consul import Consul, ConsulError
from scripts.cluster.patience import Patience
from scripts.local import consul as local_consul

from support.order_stream import ask
from support.three_hosts import DOOR_PORT, HOSTS, PUBLIC, ThreeHosts, headers

pytestmark = [pytest.mark.real, pytest.mark.netns]

PRIVATE = {
    "kvstore": ("/kv/anything", "/kv?prefix=a", "/metrics"),
    "kvfront": ("/kv/anything", "/kv?prefix=a", "/metrics"),
    "gateway": ("/metrics",),
    "dispatcher": ("/metrics",),
    "drone-sim": ("/metrics",),
    "lb": ("/metrics",),
}
SECRET = "dronedispatch/secrets/store_token"
BROKER_PORTS = {5672, 15672, 15692, 25672, 4369}


def instances(system: ThreeHosts, service: str) -> list[str]:
    """address:port of the control side of every instance that passes: the dead ones of an earlier fault are listed too."""
    found = system.ask_consul("server-1", f"/v1/health/service/{service}?passing")
    assert len(found) >= system.expected()[service], found
    return [f"{one['Service']['Address']}:{one['Service']['Meta']['metrics_port']}" for one in found]


@pytest.mark.parametrize("service", PRIVATE)
def test_without_a_token_a_private_endpoint_refuses_and_health_answers(
    healthy: ThreeHosts, service: str
) -> None:
    inside = healthy.machines["server-1"].host
    for address in instances(healthy, service):
        assert ask(inside, address, "/health")[0] == 200
        for path in PRIVATE[service]:
            assert ask(inside, address, path)[0] == 401, f"{address}{path}"
            assert ask(inside, address, path, dict(headers("not-the-token")))[0] == 401
        token = healthy.secret("metrics_token")
        assert ask(inside, address, "/metrics", dict(headers(token)))[0] == 200


def test_writes_to_the_store_are_refused_with_another_services_token(healthy: ThreeHosts) -> None:
    inside = healthy.machines["server-1"].host
    wrong = dict(headers(healthy.secret("metrics_token")))
    for service in ("kvfront", "kvstore"):
        for address in instances(healthy, service):
            assert ask(inside, address, "/kv/anything", wrong, "PUT")[0] == 401


def test_the_operators_endpoints_refuse_at_the_public_door(healthy: ThreeHosts) -> None:
    door = f"{PUBLIC['server-1']}:{DOOR_PORT}"
    assert ask(healthy.world, door, "/zones", {"Content-Length": "0"}, "PUT")[0] == 401
    assert ask(healthy.world, door, "/metrics")[0] in {401, 404}
    assert ask(healthy.world, door, "/kv/anything")[0] == 404


def refused(system: ThreeHosts, token: str, method: str, path: str, body: bytes | None = None) -> bool:
    machine = system.machines["server-1"]
    consul = machine.consul(token)
    try:
        machine.host.inside(lambda: consul.call(method, path, body))
    except ConsulError as exc:
        return " 403 " in str(exc)
    return False


def test_consul_denies_whoever_shows_no_token(healthy: ThreeHosts) -> None:
    assert refused(healthy, "", "GET", f"/v1/kv/{SECRET}")
    assert refused(healthy, "", "PUT", "/v1/kv/dronedispatch/kv/view", b"{}")
    assert refused(healthy, "", "PUT", "/v1/agent/service/register", b'{"Name": "lb", "Port": 1}')
    machine = healthy.machines["server-1"]
    nobody = machine.consul("")
    assert machine.host.inside(lambda: nobody.call("GET", "/v1/catalog/services")) == {}


@pytest.mark.parametrize("service", [*PRIVATE, "prometheus", "kvctl", "agent", "rabbitmq", "reader"])
def test_no_service_reads_the_secrets_or_writes_what_is_not_its_own(
    healthy: ThreeHosts, service: str
) -> None:
    token = healthy.secret(f"consul/{service}")
    assert refused(healthy, token, "GET", f"/v1/kv/{SECRET}")
    assert refused(healthy, token, "GET", "/v1/kv/dronedispatch/consul-tokens/kvfront")
    assert refused(healthy, token, "GET", f"/v1/kv/{access.DEPLOY_KEY}")
    assert refused(healthy, token, "PUT", "/v1/kv/anything", b"x")
    assert refused(healthy, token, "GET", "/v1/acl/tokens")
    if service not in {"kvstore", "kvfront", "kvctl"}:
        assert refused(healthy, token, "PUT", "/v1/kv/dronedispatch/kv/view", b"{}")
    other = "gateway" if service == "lb" else "lb"
    assert refused(
        healthy, token, "PUT", "/v1/agent/service/register", json.dumps({"Name": other, "Port": 1}).encode()
    )


def test_nomads_own_token_reads_and_writes_no_key(healthy: ThreeHosts) -> None:
    for path in (SECRET, access.DEPLOY_KEY, "dronedispatch/kv/view"):
        assert refused(healthy, healthy.secret("consul/nomad"), "GET", f"/v1/kv/{path}")
        assert refused(healthy, healthy.secret("consul/nomad"), "PUT", f"/v1/kv/{path}", b"mine")


def test_access_given_twice_writes_nothing(healthy: ThreeHosts) -> None:
    assert healthy.give_access() == "wrote 0 policies, 0 tokens"


def test_an_agent_without_the_gossip_key_is_no_member(healthy: ThreeHosts, tmp_path: Path) -> None:
    made = healthy.network
    stranger = made.add_host("stranger", {"private": "10.77.0.66"})
    config = {
        "node_name": "stranger",
        "data_dir": str(tmp_path / "data"),
        "bind_addr": "10.77.0.66",
        "retry_join": [HOSTS["server-1"]],
        "retry_interval": "1s",
    }
    (tmp_path / "agent.json").write_text(json.dumps(config), encoding="utf-8")
    words = [str(local_consul.binary()), "agent", f"-config-file={tmp_path / 'agent.json'}"]
    stranger.start(words, {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, tmp_path / "log")
    log = tmp_path / "log"
    assert Patience(30, 0.1).until(lambda: log.read_text().count("encryption is not configured") >= 2), (
        log.read_text()
    )
    members = {one["Name"] for one in healthy.ask_consul("server-1", "/v1/agent/members")}
    assert members == set(HOSTS)
    stranger.kill()


def test_rpc_between_agents_wants_our_certificate(healthy: ThreeHosts) -> None:
    words = [
        "openssl",
        "s_client",
        "-connect",
        f"{HOSTS['server-1']}:8501",
        "-CAfile",
        str(healthy.keys / "tls" / "ca.pem"),
    ]
    words += ["-verify_return_error", "-verify_ip", HOSTS["server-1"]]
    inside = healthy.machines["server-2"].host
    done = subprocess.run(
        inside.command(words), input="", capture_output=True, text=True, timeout=600, check=False
    )
    assert "Verify return code: 0 (ok)" in done.stdout, done.stdout + done.stderr
    text = "\n".join(
        path.read_text() for path in (healthy.machines["server-1"].folder / "consul.d").glob("*.hcl")
    )
    assert "verify_incoming_rpc    = true" in text or "verify_incoming = true" in text


def test_the_broker_always_asks_and_knows_no_guest(healthy: ThreeHosts) -> None:
    inside = healthy.machines["server-1"].host
    for address in HOSTS.values():
        assert ask(inside, f"{address}:15672", "/api/overview")[0] == 401
        guest = {"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="}
        assert ask(inside, f"{address}:15672", "/api/overview", guest)[0] == 401


def listeners(system: ThreeHosts, name: str) -> set[tuple[str, int]]:
    """(address, port) of every TCP listener of a host."""
    done = system.machines[name].host.run(
        ["ss", "-Hltn"], {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, timeout_s=20
    )
    assert done.returncode == 0, done.stderr
    places = [line.split()[3].rpartition(":") for line in done.stdout.splitlines()]
    return {(address.strip("[]"), int(port)) for address, _, port in places}


def test_nothing_listens_on_a_public_address_but_the_door(healthy: ThreeHosts) -> None:
    for name, public in PUBLIC.items():
        everywhere = {"0.0.0.0", "*", "::", public}
        open_to_all = {(address, port) for address, port in listeners(healthy, name) if address in everywhere}
        assert open_to_all == ({(public, DOOR_PORT)} if name != "server-3" else set())


def test_a_broker_listens_on_the_private_address_only(healthy: ThreeHosts) -> None:
    """AMQP, its UI, its metrics, Erlang's distribution and its port mapper: the private interface stands in for TLS."""
    for name, address in HOSTS.items():
        places = {(where, port) for where, port in listeners(healthy, name) if port in BROKER_PORTS}
        assert {port for _, port in places} == BROKER_PORTS
        assert {where for where, _ in places} <= {address, "127.0.0.1", "::1"}


def test_a_port_scan_from_outside_finds_the_doors_only(healthy: ThreeHosts) -> None:
    # Where no socket listens no port answers: those of every listener anywhere stand for all 65,535 of each host.
    ports = {port for name in HOSTS for _, port in listeners(healthy, name)} | set(range(1, 1024))
    assert DOOR_PORT in ports

    def scan(address: str) -> set[int]:
        found = set()
        for port in sorted(ports):
            with socket.socket() as probe:
                probe.settimeout(1.0)
                if probe.connect_ex((address, port)) == 0:
                    found.add(port)
        return found

    for name, address in PUBLIC.items():
        open_ports = healthy.world.inside(partial(scan, address))
        assert open_ports == ({DOOR_PORT} if name != "server-3" else set())
    for address in HOSTS.values():
        with pytest.raises(OSError, match="unreachable"):
            healthy.world.inside(partial(socket.create_connection, (address, 8500), timeout=1))


def test_the_laboratory_shows_its_catalogue_and_hides_its_secrets(
    healthy: ThreeHosts, tmp_path: Path
) -> None:
    """Without DD_SECURE everybody may look, and still nobody reads a secret: a fourth agent of its own, with that text."""
    host = healthy.network.add_host("laboratory", {"private": "10.77.0.77"})
    etc = tmp_path / "consul.d"
    etc.mkdir()
    machine = healthy.machines["server-1"]
    told = {
        "DD_SECURE": "0",
        "DD_NAME": "laboratory",
        "DD_ADDRESS": "10.77.0.77",
        "DD_SERVERS": "laboratory=10.77.0.77",
        "CONSUL_DATA": str(tmp_path / "data"),
        "CONSUL_ETC": str(etc),
    }
    for name in ("configuration", "gossip", "acls"):
        (etc / f"{name}.hcl").write_text(
            healthy.text(machine, "consul", f"consul_{name}", **told), encoding="utf-8"
        )
    words = [str(local_consul.binary()), "agent", f"-config-dir={etc}", "-log-level=warn"]
    host.start(words, {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, tmp_path / "log")
    management = Consul("http://127.0.0.1:8500", healthy.secret("consul/management"))
    host.inside(lambda: access.give(management, healthy.keys, Patience(40, 0.1)))
    nobody = Consul("http://10.77.0.77:8500")
    assert "consul" in host.inside(lambda: nobody.call("GET", "/v1/catalog/services"))
    assert host.inside(lambda: nobody.put("anything", "x"))
    with pytest.raises(ConsulError, match=" 403 "):
        host.inside(lambda: nobody.get(SECRET))
    with pytest.raises(ConsulError, match=" 403 "):
        host.inside(lambda: nobody.get(access.DEPLOY_KEY))
    host.kill()
    shutil.rmtree(tmp_path / "data")
