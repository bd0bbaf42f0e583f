"""HAProxy, nginx, our door and a Sanic + aiohttp proxy, each in front of the same ports, as child processes."""

from __future__ import annotations

import socket
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from loadtests.bench.processes import binary, child, free_port

OURS = "dronedispatch lb"
OF_WHEEL = "the wheel's"
HAPROXY = """
global
  nbthread 1
  maxconn 8000
  log {logs} local0
defaults
  mode http
  log global
  option httplog
  option forwardfor
  option redispatch 1
  retries 2
  retry-on all-retryable-errors
{options}
  timeout connect 1s
  timeout client 75s
  timeout server 30s
  timeout http-request 10s
frontend door
  bind 127.0.0.1:{port}
  stick-table type ip size 100k expire 60s store http_req_rate(1s)
  http-request track-sc0 src
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 10000000 }}
  unique-id-format %[uuid()]
  unique-id-header X-Request-ID
  default_backend gateways
backend gateways
  balance roundrobin
  http-reuse always
{servers}
"""

NGINX = """
worker_processes 1; daemon off; pid {home}/nginx.pid; error_log {home}/error.log;
events {{ worker_connections 8000; }}
http {{
  log_format timed '$time_iso8601 $remote_addr "$request" $status $body_bytes_sent $request_time $upstream_addr $request_id';
  access_log {home}/access.log timed buffer=64k flush=1s;
  client_body_temp_path {home}; proxy_temp_path {home}; fastcgi_temp_path {home}; uwsgi_temp_path {home};
  scgi_temp_path {home};
  keepalive_timeout 75s; keepalive_requests 1000000000;
  limit_req_zone $binary_remote_addr zone=clients:16m rate=1000000r/s;
  upstream gateways {{ {servers} keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      limit_req zone=clients burst=100000 nodelay;
      proxy_pass http://gateways; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Request-ID $request_id;
      proxy_next_upstream error timeout http_502 http_503 http_504; proxy_next_upstream_tries 3;
      proxy_connect_timeout 1s; proxy_read_timeout 300s;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Peer:
    """A running proxy: its name, the port it serves, and the process whose CPU counts."""

    name: str
    port: int
    pid: int


@contextmanager
def haproxy(ports: Sequence[int], pin: Sequence[str] = (), *, events: bool = False) -> Iterator[Peer]:
    """`events`: set up for server-sent events, which it otherwise holds back for up to 200 ms to fill segments."""
    program = binary("haproxy")
    with tempfile.TemporaryDirectory() as home, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        # Its log goes to a socket that nobody reads: the kernel drops what is too much.
        sink.bind(("127.0.0.1", 0))
        port = free_port()
        servers = "\n".join(f"  server s{number} 127.0.0.1:{one}" for number, one in enumerate(ports))
        config = Path(home) / "haproxy.cfg"
        logs = f"127.0.0.1:{sink.getsockname()[1]}"
        options = "  option http-no-delay" if events else ""
        text = HAPROXY.format(port=port, servers=servers, logs=logs, options=options)
        config.write_text(text, encoding="utf-8")
        with child((*pin, program, "-f", str(config), "-db"), port) as pid:
            yield Peer("haproxy", port, pid)


@contextmanager
def nginx(ports: Sequence[int], pin: Sequence[str] = ()) -> Iterator[Peer]:
    program = binary("nginx")
    with tempfile.TemporaryDirectory() as home:
        port = free_port()
        servers = " ".join(f"server 127.0.0.1:{one};" for one in ports)
        config = Path(home) / "nginx.conf"
        text = NGINX.format(home=home, port=port, servers=servers)
        config.write_text("master_process off;" + text, encoding="utf-8")
        with child((*pin, program, "-c", str(config), "-p", home), port) as pid:
            yield Peer("nginx", port, pid)


@contextmanager
def ours(ports: Sequence[int], pin: Sequence[str] = (), **settings: str) -> Iterator[Peer]:
    """Our door with everything on: both limiters, retries, the access log."""
    with tempfile.TemporaryDirectory() as home:
        port = free_port()
        environ = {
            "LB_PORT": str(port),
            "LB_CONTROL_PORT": str(free_port()),
            "LB_REGISTRATION": "off",
            "LB_GATEWAYS": ",".join(f"127.0.0.1:{one}" for one in ports),
            "LB_RATE_PER_S": "10000000",
            "LB_CLIENT_RATE_PER_S": "10000000",
            "LB_ACCESS_LOG": str(Path(home) / "access.log"),
            "LB_LOG_LEVEL": "error",
            **settings,
        }
        with child((*pin, sys.executable, "-m", "dronedispatch.lb"), port, environ) as pid:
            yield Peer(OURS, port, pid)


@contextmanager
def ours_of(wheel: Path, ports: Sequence[int], pin: Sequence[str] = ()) -> Iterator[Peer]:
    """The same of a release, not of this checkout."""
    with tempfile.TemporaryDirectory() as home:
        zipfile.ZipFile(wheel).extractall(home)
        with ours(ports, pin, PYTHONPATH=home) as door:  # it comes before what is installed
            yield replace(door, name=OF_WHEEL)


@contextmanager
def sanic(ports: Sequence[int], pin: Sequence[str] = ()) -> Iterator[Peer]:
    """The design that the door replaced: a Sanic handler with an aiohttp client."""
    port = free_port()
    command = (*pin, sys.executable, "-m", "loadtests.bench.lb_sanic_proxy", str(port), *map(str, ports))
    with child(command, port) as pid:
        yield Peer("sanic + aiohttp", port, pid)
