"""A certificate authority of the cluster's own, by openssl: agents believe nobody else."""

from __future__ import annotations

import ipaddress
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from scripts.local.trouble import Trouble

DAYS = 3650  # a laboratory's lifetime; scripts/make-secrets in an empty folder makes a new one


def machines(words: Iterable[str]) -> dict[str, str]:
    """`server-1=192.168.56.11` ... as name -> address. Raises Trouble."""
    found: dict[str, str] = {}
    for word in words:
        name, _, address = word.partition("=")
        if not re.fullmatch(r"(server|client)-[a-z0-9-]+", name):
            raise Trouble(f"{word}: a machine is called server-... or client-...")
        try:
            ipaddress.ip_address(address)
        except ValueError as exc:
            raise Trouble(f"{word}: {exc}") from exc
        found[name] = address
    return found


def names(product: str, machine: str, address: str) -> str:
    """The subject alternative names that `product` verifies: its role in its region, and who one connects to."""
    role = machine.partition("-")[0]
    region = f"{role}.dc1.consul" if product == "consul" else f"{role}.global.nomad"
    return f"DNS:{region},DNS:{machine},DNS:localhost,IP:{address},IP:127.0.0.1"


def make(directory: Path, hosts: Mapping[str, str]) -> list[str]:
    """The CA and for each machine a certificate for Consul's and one for Nomad's agent, where missing; what was made.

    Raises Trouble when openssl is missing or refuses.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    made: list[str] = []
    if not (directory / "ca.pem").is_file():
        _openssl(
            *("req", "-x509", "-new", "-nodes", "-days", str(DAYS), "-subj", "/CN=DroneDispatch cluster CA"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "basicConstraints=critical,CA:TRUE"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", str(directory / "ca.key"), "-out", str(directory / "ca.pem")),
        )
        made.append("tls/ca.pem")
    for machine, address in hosts.items():
        made += [
            name for product in ("consul", "nomad") if (name := _sign(directory, product, machine, address))
        ]
    return made


def _sign(directory: Path, product: str, machine: str, address: str) -> str | None:
    """A key and a certificate for one agent; its name, or None where a certificate for this address is there."""
    stem = directory / f"{product}-{machine}"
    wanted = names(product, machine, address)
    noted = stem.with_suffix(".for")
    if stem.with_suffix(".pem").is_file() and noted.is_file() and noted.read_text(encoding="ascii") == wanted:
        return None
    with tempfile.TemporaryDirectory() as work:
        request, extensions = Path(work) / "request", Path(work) / "extensions"
        _openssl(
            *("req", "-new", "-nodes", "-subj", f"/CN={machine}", "-newkey", "ec"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-keyout", f"{stem}.key", "-out", str(request)),
        )
        extensions.write_text(
            f"subjectAltName={wanted}\nextendedKeyUsage=serverAuth,clientAuth\n", encoding="ascii"
        )
        _openssl(
            *("x509", "-req", "-days", str(DAYS), "-in", str(request), "-extfile", str(extensions)),
            *("-CA", str(directory / "ca.pem"), "-CAkey", str(directory / "ca.key"), "-CAcreateserial"),
            *("-out", f"{stem}.pem"),
        )
    noted.write_text(wanted, encoding="ascii")
    return f"tls/{stem.name}.pem"


def _openssl(*words: str) -> None:
    def private() -> None:
        os.umask(0o077)

    command: Sequence[str] = ["openssl", *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, preexec_fn=private
        )
    except subprocess.TimeoutExpired as exc:
        raise Trouble(f"openssl {words[0]} does not end: run this again") from exc
    except FileNotFoundError as exc:
        raise Trouble("openssl is not on PATH: install it, then run this again") from exc
    if done.returncode != 0:
        raise Trouble(f"openssl {words[0]}: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
