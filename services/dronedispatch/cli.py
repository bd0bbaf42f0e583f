"""`dronedispatch COMMAND`: the tool for a running system, the store's operator tool, and the services' own starters.

A service is started without importing what the tool wants.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

from dronedispatch.runtime import output
from dronedispatch.runtime.settings import SettingsError, variables

SERVICES = {
    "lb": "the public door: a load balancer over the healthy gateways",
    "gateway": "the public API, the live events and the dashboard",
    "kvfront": "the store's coordinator",
    "kvstore": "one replica of the store",
    "dispatcher": "matches orders and drones",
    "drone-sim": "the simulated fleet",
}

BROKEN_PIPE = 141

TOOL = {
    "orders": "place, list, get, watch, cancel, why",
    "drones": "list, get, drain, undrain",
    "zones": "get, diff, apply",
    "events": "what happens, as it happens",
    "top": "the system at a glance",
    "status": "every process and its health",
    "doctor": "what is wrong, and what to type",
    "logs": "what the processes say; --order ID: an order's way through them",
    "dead-letters": "messages that nobody could handle: list, replay, drop",
    "completion": "completion for bash, zsh or fish",
}


def usage() -> str:
    """The help text."""

    def rows(of: dict[str, str]) -> str:
        return "\n".join(f"  {name:<14}{text}" for name, text in of.items())

    return (
        "usage: dronedispatch COMMAND ...   (each has --help)\n\n"
        f"A running system (--home DIR, or --url URL):\n{rows(TOOL)}\n"
        "  kvctl         the store's operator tool\n\n"
        f"Start a service; its settings come from the environment (--settings lists them):\n{rows(SERVICES)}\n\n"
        "  --version     of this program\n"
    )


def service_usage(name: str) -> str:
    """What `dronedispatch gateway --help` says."""
    return (
        f"usage: dronedispatch {name}             start it: {SERVICES[name]}\n"
        f"       dronedispatch {name} --settings  list the variables that it reads, with their defaults\n\n"
        "It takes no other argument: its settings come from the environment. scripts/up starts a whole system.\n"
    )


def list_settings(package: str, prefix: str) -> str:
    """Every variable of a service, its default and its unit (by its name)."""
    settings = importlib.import_module(f"dronedispatch.{package}.settings").Settings
    rows = []
    for name, field in sorted(variables(settings, prefix).items()):
        required = str(field.default).startswith("<dataclasses") or "MISSING" in repr(field.default)
        rows.append(f"{name:<40}{'(required)' if required else field.default}")
    return "\n".join(rows) + "\n"


@contextlib.contextmanager
def nobody_finds(name: str) -> Iterator[None]:
    """While the block runs, who tries whether the module `name` is installed hears that it is not."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # an import of it raises ModuleNotFoundError
    try:
        yield
    finally:
        del sys.modules[name]


class LoadedAtUse:
    """Modules that others import and a service never calls: an import finds them, the first look inside loads them."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._names:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        if found is not None and found.loader is not None:
            found.loader = LazyLoader(found.loader)
        return found


@contextlib.contextmanager
def light_imports() -> Iterator[None]:
    """While the block runs, an import of a service leaves out what no service calls: half of a start would be that."""
    # python-consul imports requests for the transport that ours replaces, scipy all that numpy names.
    finder = LoadedAtUse("requests", "numpy.f2py")
    sys.meta_path.insert(0, finder)
    try:
        with nobody_finds("rich"):  # structlog would take it for tracebacks in colour: services write JSON
            yield
    finally:
        sys.meta_path.remove(finder)


@contextlib.contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """While the block imports, a Ctrl-C ends the process without a word; who is imported says what it means later."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """While the block runs, SIGTERM ends the process, until the service says what it means.

    The first process of a namespace (Nomad's `exec`, a container) hears no signal that it has not asked for: a start that
    is called off would go on until it is killed.
    """
    handler = signal.signal(signal.SIGTERM, lambda number, _frame: os._exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def imported(name: str) -> ModuleType:
    """A program of ours that a person runs."""
    with ended_by_ctrl_c():
        return importlib.import_module(name)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 2 for a wrong call or a wrong setting, 141 when nobody reads what it says any more."""
    output.ensure()
    try:
        code = run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough
        output.drop()
        return BROKEN_PIPE
    except OSError as error:
        if not output.takes_nothing():
            raise
        output.drop()
        sys.stderr.write(
            f"dronedispatch: standard output takes nothing ({error.strerror}): write to another place\n"
        )
        return 1
    return code


def run(arguments: list[str]) -> int:
    """As `main`, for an output that is as it should be."""
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        sys.stdout.write(usage())
        return 0 if arguments else 2
    name, rest = arguments[0], arguments[1:]
    if name == "--version":
        from importlib.metadata import version  # here, and not above: no service has use for it

        sys.stdout.write(f"dronedispatch {version('dronedispatch')}\n")
        return 0
    if name == "kvctl":
        return int(imported("dronedispatch.kvctl.__main__").main(rest))
    if name in TOOL:
        return int(imported("dronedispatch.tool.app").main(arguments))
    if name not in SERVICES:
        if name.startswith("-"):
            sys.stderr.write(
                f"dronedispatch: {name} stands after the command, as in: dronedispatch status -o json "
                "(see dronedispatch --help)\n"
            )
            return 2
        import difflib

        near = difflib.get_close_matches(name, [*TOOL, *SERVICES, "kvctl"], 1)
        meant = f": did you mean {near[0]!r}?" if near else ""
        sys.stderr.write(f"dronedispatch: no command {name!r}{meant} (see dronedispatch --help)\n")
        return 2
    if rest in (["--help"], ["-h"]):
        sys.stdout.write(service_usage(name))
        return 0
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
        with ended_by_sigterm():
            with light_imports():
                service = importlib.import_module(f"dronedispatch.{package}.__main__")
            service.main(os.environ)
    except SettingsError as exc:
        sys.stderr.write(f"dronedispatch {name}: {exc}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
