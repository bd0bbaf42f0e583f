"""The command line as a whole: its commands, and how a failure of any of them is told."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Literal

from cyclopts import App, CycloptsError, UnusedCliTokensError
from rich.console import Console

from dronedispatch.tool import checkout, dead_letters, doctor, drones, events, orders, render, top, zones
from dronedispatch.tool.errors import WRONG_USE, ToolError

NAMES = (
    "orders",
    "drones",
    "zones",
    "events",
    "top",
    "status",
    "doctor",
    "logs",
    "dead-letters",
    "completion",
)
INTERRUPTED = 130


def command_line() -> App:
    """Every command of the tool."""
    app = App(
        name="dronedispatch",
        help="Orders, drones and the city of a running DroneDispatch, and what is wrong with it.",
        version=version("dronedispatch"),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        help_on_error=False,
        console=Console(width=None if sys.stdout.isatty() else 100, highlight=False),
    )
    for group in (orders, drones, zones, dead_letters):
        app.command(group.commands())
    app.command(events.follow, name="events")
    app.command(top.top, name="top")
    app.command(checkout.status, name="status")
    app.command(doctor.doctor, name="doctor")
    app.command(checkout.logs, name="logs")
    app.command(completion, name="completion")
    return app


def completion(shell: Literal["bash", "zsh", "fish"]) -> int:
    """Print the completion of a shell. For bash: source <(dronedispatch completion bash)."""
    print(command_line().generate_completion(shell=shell))
    return 0


def main(argv: Sequence[str]) -> int:
    """0: done. 1: it failed, or was refused. 2: a wrong call. 3: a difference. 4: the outcome is not known."""
    app = command_line()
    try:
        if len(argv) == 1 and argv[0] in {"orders", "drones", "zones", "dead-letters"}:
            app([*argv, "--help"])
            return WRONG_USE
        code = app(list(argv))
        sys.stdout.flush()
    except CycloptsError as error:
        return _say(f"{one_line(error)} (see dronedispatch {_command(argv)}--help)", WRONG_USE)
    except ToolError as error:
        return _say(str(error), error.code)
    except KeyboardInterrupt:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def one_line(error: CycloptsError) -> str:
    """The library's words in one line, but for those that only its makers understand."""
    if isinstance(error, UnusedCliTokensError):
        return f"more words than it takes: {' '.join(error.unused_tokens or [])}"
    return " ".join(str(error).split())


def _command(argv: Sequence[str]) -> str:
    words = []
    for word in argv[:2]:
        if word.startswith("-") or not word.replace("-", "").isalpha():
            break
        words.append(word)
    known = words[:1] if words and words[0] in NAMES else []
    return f"{' '.join(known)} " if known else ""


def _say(text: str, code: int) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"dronedispatch: {render.plain_lines(text)}\n")
    return code
