"""`dronedispatch status` and `logs`: the scripts of the checkout do the work, for a home and for a cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NoReturn

from cyclopts import Parameter

from dronedispatch.runtime.home import checkout, home_folder
from dronedispatch.tool.errors import ToolError, WrongUse

HomeOption = Annotated[
    Path | None, Parameter(help="which system of this machine (default: DD_HOME, or .run)")
]
NomadOption = Annotated[
    bool, Parameter(negative="", help="what runs on the Nomad at NOMAD_ADDR, instead of a home")
]
OutputOption = Annotated[Literal["table", "json"], Parameter(name=["--output", "-o"], help="table or json")]


def status(
    *jobs: Annotated[str, Parameter(help="with --nomad: only these")],
    home: HomeOption = None,
    nomad: NomadOption = False,
    output: OutputOption = "table",
) -> int:
    """Show every process, its health and restarts: 0 all healthy, 3 some degraded, 1 some do not serve."""
    if jobs and not nomad:
        raise WrongUse(f"status takes no {jobs[0]!r}: names are for --nomad")
    json = ["--json"] if output == "json" else []
    run("status", ["--nomad", *jobs, *json] if nomad else [*_home(home), *json])


def logs(
    *names: Annotated[str, Parameter(help="gateway-1, or gateway for all of them (default: all)")],
    order: Annotated[str | None, Parameter(help="only the transitions of this order, in their order")] = None,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], negative="", help="go on until Ctrl-C")
    ] = False,
    lines: Annotated[int, Parameter(name=["--lines", "-n"], help="of each process")] = 20,
    home: HomeOption = None,
    nomad: NomadOption = False,
    output: OutputOption = "table",
) -> int:
    """Show what the processes say; with --order, one line for each transition of an order."""
    if lines < 0:
        raise WrongUse(f"--lines {lines} is negative")
    if nomad and follow:
        raise WrongUse("--follow is for a home: on a Nomad use nomad alloc logs -f")
    if order is not None and follow:
        raise WrongUse(
            "--order shows what was, --follow what comes: choose one (or dronedispatch orders watch)"
        )
    words = [*names, "--lines", str(lines), *(["--order", order] if order is not None else [])]
    words += ["--follow"] if follow else []
    words += ["--json"] if output == "json" else []
    run("logs", ["--nomad", *words] if nomad else [*words, *_home(home)])


def _home(home: Path | None) -> list[str]:
    return ["--home", str(home_folder(home, os.environ))]


def run(script: str, words: Sequence[str]) -> NoReturn:
    """Become a script of the checkout. Raises ToolError when there is no checkout, or no such script in it."""
    root = checkout()
    if root is None:
        raise ToolError(
            f"{script} needs the checkout that the system was started from: run its scripts/{script} there. "
            "From here: dronedispatch doctor --url URL"
        )
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as a shell starts a script
    command = str(root / "scripts" / script)
    try:
        os.execv(command, [command, *words])
    except OSError as error:
        raise ToolError(
            f"{command} cannot be started ({error.strerror}): make it executable again"
        ) from error
