"""`dronedispatch <service>`: start one process of the system, or `dronedispatch kvctl ...` to look into its store."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.metadata import version

from dronedispatch.runtime.settings import SettingsError, variables

SERVICES = {
    "lb": "the public door: a load balancer over the healthy gateways",
    "gateway": "the public API, the live events and the dashboard",
    "kvfront": "the store's coordinator",
    "kvstore": "one replica of the store",
    "dispatcher": "matches orders and drones",
    "drone-sim": "the simulated fleet",
}


def usage() -> str:
    """The help text."""
    services = "\n".join(f"  {name:<12}{text}" for name, text in SERVICES.items())
    return (
        "usage: dronedispatch <service>             start a service; its settings come from the environment\n"
        "       dronedispatch <service> --settings  list the variables that it reads, with their defaults\n"
        "       dronedispatch kvctl ...             the store's operator tool (see kvctl --help)\n"
        "       dronedispatch dead-letters ...      messages that nobody could handle: list, replay, drop\n"
        "       dronedispatch --version\n\n"
        f"services:\n{services}\n"
    )


def list_settings(package: str, prefix: str) -> str:
    """Every variable of a service, its default and its unit (by its name)."""
    settings = importlib.import_module(f"dronedispatch.{package}.settings").Settings
    rows = []
    for name, field in sorted(variables(settings, prefix).items()):
        required = str(field.default).startswith("<dataclasses") or "MISSING" in repr(field.default)
        rows.append(f"{name:<40}{'(required)' if required else field.default}")
    return "\n".join(rows) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 2 for a wrong call or a wrong setting."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        sys.stdout.write(usage())
        return 0 if arguments else 2
    name, rest = arguments[0], arguments[1:]
    if name == "--version":
        sys.stdout.write(f"dronedispatch {version('dronedispatch')}\n")
        return 0
    if name == "kvctl":
        return int(importlib.import_module("dronedispatch.kvctl.__main__").main(rest))
    if name == "dead-letters":
        return int(importlib.import_module("dronedispatch.dead_letters").main(rest))
    if name not in SERVICES:
        sys.stderr.write(f"dronedispatch: no service {name!r}\n\n{usage()}")
        return 2
    package = name.replace("-", "_")
    if rest == ["--settings"]:
        sys.stdout.write(list_settings(package, package.upper()))
        return 0
    if rest:
        sys.stderr.write(
            f"dronedispatch {name}: no argument {rest[0]!r}; settings come from the environment\n"
        )
        return 2
    try:
        importlib.import_module(f"dronedispatch.{package}.__main__").main(os.environ)
    except SettingsError as exc:
        sys.stderr.write(f"dronedispatch {name}: {exc}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
