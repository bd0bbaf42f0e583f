"""The home of a system on one machine, as its users find it: addresses and tokens. scripts/up writes it.

Where each thing lies is scripts/local's decision; tests/unit/runtime/test_home.py holds the two together.
"""

from __future__ import annotations

import json
import os
import shlex
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dronedispatch.runtime.addresses import host_port

HOME_VARIABLE = "DD_HOME"
EVERYWHERE = ("0.0.0.0", "::")
CONSUL_OFFSET = 420
CERTIFICATE_VARIABLE = "LB_TLS_CERT"
AMQP_USER = "dronedispatch"
_PACKAGE = Path(__file__).resolve().parents[1]


class NoHome(Exception):
    """There is no system's home; the message says where it was looked for, and what makes one."""


def checkout() -> Path | None:
    """The checkout that this package runs from; None when it was installed from a wheel."""
    root = _PACKAGE.parents[1]
    return root if (root / "scripts" / "up").is_file() else None


def whole(name: str | os.PathLike[str]) -> Path:
    """A home's one name, however it was typed: without `~`, `..` and links. An unknown user's `~` stays, as in a shell."""
    return Path(os.path.realpath(os.path.expanduser(name)))


def argument(root: Path) -> str:
    """What a command that is printed is told to find this home, as a shell reads it."""
    return f"--home {shlex.quote(str(root))}"


def damaged(root: Path, why: object) -> str:
    """The sentence for a home whose system.json cannot be used: it may run, and --fresh wants one that rests."""
    named = argument(root)
    return f"{root}/system.json is damaged ({why}): start again with scripts/down {named} && scripts/up {named} --fresh"


def home_folder(given: Path | None, environ: Mapping[str, str]) -> Path:
    """The home that was named: by an option, by DD_HOME, or the default of scripts/up."""
    if given is not None:
        return whole(given)
    if told := environ.get(HOME_VARIABLE):
        return whole(told)
    return (checkout() or Path.cwd()) / ".run"


def door_url(listen: str, port: int, certificate: str) -> str:
    """A public door, as its own machine reaches it."""
    host = "127.0.0.1" if listen in EVERYWHERE else listen
    return f"{'https' if certificate else 'http'}://{host_port(host, port)}"


def trusting(certificate: str) -> ssl.SSLContext:
    """For a door of this machine: it is known by the certificate that it shows, and reached by its loopback address."""
    trusted = ssl.create_default_context(cafile=certificate)
    trusted.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trusted.check_hostname = False
    return trusted


@dataclass(frozen=True, slots=True)
class HomeFound:
    """A home in which a system was started."""

    root: Path
    listen: str
    port_base: int
    certificate: str = ""  # that its door shows; "": it speaks plain HTTP

    @property
    def url(self) -> str:
        """The public door, as this machine reaches it."""
        return door_url(self.listen, self.port_base, self.certificate)

    @property
    def consul(self) -> str:
        """The private Consul's address."""
        return f"http://127.0.0.1:{self.port_base + CONSUL_OFFSET}"

    def token_file(self, name: str) -> Path:
        """Of operator, store, metrics, service, amqp_password."""
        return self.root / "tokens" / name

    def environment(self) -> dict[str, str]:
        """What our command lines read from their environment."""
        return {
            "CONSUL_HTTP_ADDR": self.consul,
            "STORE_TOKEN_FILE": str(self.token_file("store")),
            "SERVICE_SECRET_FILE": str(self.token_file("service")),
            "AMQP_USER": AMQP_USER,
            "AMQP_PASSWORD_FILE": str(self.token_file("amqp_password")),
        }


def find_home(root: Path) -> HomeFound | None:
    """None: nothing was ever started there. Raises NoHome when its system.json is damaged or may not be read."""
    try:
        text = (root / "system.json").read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise NoHome(f"{root}/system.json cannot be read: {error}") from error
    try:
        facts = json.loads(text)
        options: dict[str, Any] = facts["options"]
        certificate = str((facts.get("settings") or {}).get(CERTIFICATE_VARIABLE, ""))
        return HomeFound(root, str(options["listen"]), int(options["port_base"]), certificate)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoHome(damaged(root, error)) from error


def needed_home(root: Path) -> HomeFound:
    """The home that was named. Raises NoHome when nothing was ever started there."""
    found = find_home(root)
    if found is None:
        raise NoHome(f"nothing was ever started in {root}: run scripts/up {argument(root)}")
    return found


def environment_for(given: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with what a home says laid over it (one that was named), or under it (the default one, if it is there).

    Raises NoHome for one that was named and is none.
    """
    if given is not None:
        named = needed_home(home_folder(given, environ)).environment()
        taken = {name.removesuffix("_FILE") for name in named}
        return {name: value for name, value in environ.items() if name not in taken} | named
    if "CONSUL_HTTP_ADDR" in environ or "AMQP_URL" in environ:
        return dict(environ)  # a system was named in the old way
    folder = home_folder(None, environ)
    found = needed_home(folder) if HOME_VARIABLE in environ else find_home(folder)
    if found is None:
        return dict(environ)
    kept = {
        name: value
        for name, value in found.environment().items()
        if name.removesuffix("_FILE") not in environ and name not in environ
    }
    return dict(environ) | kept
