"""scripts/make-secrets: every key, token and password of a cluster, made once, on the host, outside the repository."""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import shutil
import subprocess
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scripts.cluster import authority
from scripts.local.trouble import Trouble

SERVICES = ("kvstore", "kvfront", "gateway", "lb", "dispatcher", "drone-sim", "prometheus", "kvctl")
BEARER = ("store_token", "operator_token", "metrics_token", "service_secret")
PASSWORDS = ("amqp/gateway", "amqp/dispatcher", "amqp/drone-sim", "amqp/operator")  # RabbitMQ's users
# What each job is given, in its Nomad Variable nomad/jobs/<job>: no other job can read it.
GIVEN = {
    "kvstore": ("store_token", "metrics_token", "service_secret"),
    "kvfront": ("store_token", "metrics_token", "service_secret"),
    "drone-sim": ("store_token", "metrics_token", "service_secret", "broker_password"),
    "dispatcher": ("store_token", "metrics_token", "service_secret", "broker_password"),
    "gateway": ("store_token", "operator_token", "metrics_token", "service_secret", "broker_password"),
    "lb": ("operator_token", "metrics_token", "service_secret"),
    "prometheus": ("metrics_token",),
    "rabbitmq": ("definitions",),  # one machine's; a cluster's brokers are no job
}


def folder(environ: Mapping[str, str]) -> Path:
    """Where a cluster's secrets are: DD_SECRETS, or the user's data directory."""
    if environ.get("DD_SECRETS"):
        return Path(environ["DD_SECRETS"])
    data = environ.get("XDG_DATA_HOME") or str(
        Path(environ.get("HOME", "~")).expanduser() / ".local" / "share"
    )
    return Path(data) / "dronedispatch" / "cluster"


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _token() -> str:
    return secrets.token_urlsafe(32)


def _identity() -> str:
    return str(uuid.uuid4())


def wanted() -> dict[str, Callable[[], str]]:
    """Every secret's file and how it is made."""
    made: dict[str, Callable[[], str]] = {
        "gossip_key": _key,
        "nomad_gossip_key": _key,
        "erlang_cookie": _token,
    }
    made |= dict.fromkeys((*BEARER, *PASSWORDS), _token)
    roles = ("management", "agent", "nomad", "rabbitmq", "reader", *SERVICES)
    made |= {f"consul/{role}": _identity for role in roles}
    made["nomad/management"] = _identity
    return made


def make(directory: Path) -> list[str]:
    """Make what is missing of a cluster's secrets; the names of what was made. What is there is never changed.

    Raises OSError.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
    return [name for name, new in wanted().items() if _write(directory / name, new)]


def _write(path: Path, new: Callable[[], str]) -> bool:
    if path.is_file() and path.stat().st_size:
        return False
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(new() + "\n")
    return True


def needed(machine: str, *, last_server: bool, secure: bool) -> list[str]:
    """The secrets that `machine` must have; no machine gets the CA's key, and a client nothing that rules the cluster."""
    names = ["gossip_key", "consul/agent", "consul/nomad"]
    if machine.startswith("server-"):
        names += ["nomad_gossip_key", "erlang_cookie", "consul/management", "consul/rabbitmq", *PASSWORDS]
    if last_server:
        names += [
            *BEARER,
            "nomad/management",
            "consul/reader",
            *(f"consul/{service}" for service in SERVICES),
        ]
    if secure:
        names += ["tls/ca.pem"]
        names += [
            f"tls/{product}-{machine}.{kind}" for product in ("consul", "nomad") for kind in ("pem", "key")
        ]
    return names


def ship(directory: Path, hosts: Mapping[str, str], *, secure: bool) -> None:
    """Fill `directory`/machines/<name> with what each machine needs, which is what the Vagrantfile copies there."""
    last = max((name for name in hosts if name.startswith("server-")), default="")
    for machine in hosts:
        target = directory / "machines" / machine
        shutil.rmtree(target, ignore_errors=True)
        for name in needed(machine, last_server=machine == last, secure=secure):
            (target / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copy2(directory / name, target / name)


def inside_repository(directory: Path) -> bool:
    """Whether git could commit `directory` by mistake: it is in a work tree and not ignored."""
    place = next((parent for parent in (directory, *directory.parents) if parent.is_dir()), Path("/"))
    try:
        done = subprocess.run(
            ["git", "-C", place, "check-ignore", "-q", directory],
            capture_output=True,
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 1


def _named(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("it is empty: name a folder")
    return Path(text)


def arguments(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        "scripts/make-secrets",
        description="Make a cluster's keys, tokens and passwords where they are missing; nothing that is there changes. "
        "`vagrant up` calls it by itself.",
    )
    parser.add_argument(
        "--dir", type=_named, default=folder(environ), help="where (default %(default)s; DD_SECRETS)"
    )
    parser.add_argument(
        "machines", nargs="*", metavar="NAME=ADDRESS", help="put together what each machine needs"
    )
    parser.add_argument(
        "--tls", action="store_true", help="also a CA, and certificates for each machine (DD_SECURE=1)"
    )
    return parser


def main(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """0: all is there. Raises Trouble when it could not be made."""
    options = arguments(environ).parse_args(argv)
    directory: Path = options.dir.absolute()
    try:
        if inside_repository(directory):
            raise Trouble(f"{directory} is in a git work tree that does not ignore it: choose another place")
        if directory.is_dir() and not (directory / "gossip_key").is_file() and any(directory.iterdir()):
            raise Trouble(f"{directory} holds something else: choose an empty folder, or a new one")
        hosts = authority.machines(options.machines)
        made = make(directory)
        if options.tls:
            made += authority.make(directory / "tls", hosts)
        ship(directory, hosts, secure=options.tls)
    except OSError as exc:
        place = exc.filename or directory
        raise Trouble(f"{place}: {exc.strerror}: choose another place with --dir DIR") from exc
    print(f"secrets in {directory}: {f'made {len(made)}' if made else 'all there'}")
    return 0
