"""`dronedispatch top`: the system at a glance; live in a terminal, once anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from dronedispatch.tool import drones as fleet_commands
from dronedispatch.tool import orders as order_commands
from dronedispatch.tool import render
from dronedispatch.tool.api import Api
from dronedispatch.tool.diagnosis import without_durations
from dronedispatch.tool.errors import ToolError, WrongUse
from dronedispatch.tool.keys import QUIT, keys
from dronedispatch.tool.orders import NO_TARGET
from dronedispatch.tool.system import Target, found

ORDERS_SHOWN, DRONES_SHOWN, REASONS_SHOWN = 12, 12, 3
LIVE_COLUMNS = ("drone", "status", "battery", "order", "last contact")  # in 80 characters
HEAD_LINES = 9  # of a picture without trouble and without reasons: head, numbers, headings, blank lines
OPEN = ("pending", "assigned", "in-progress")
ANSWER_S_MAX = 5.0
STDIN = 0  # sys.stdin is None where whoever called has closed it


@dataclass(frozen=True, slots=True)
class Glance:
    """What was read at one moment."""

    health: Mapping[str, Any]
    figures: Mapping[str, Any]
    orders: Sequence[Mapping[str, Any]]
    drones: Sequence[Mapping[str, Any]]

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {"health": self.health, "figures": self.figures, "orders": self.orders, "drones": self.drones}


def top(
    *,
    every: Annotated[float, Parameter(help="seconds between two looks")] = 1.0,
    target: Target = NO_TARGET,
) -> int:
    """Show health, figures, open orders and drones; live in a terminal until q or Ctrl-C, else once."""
    if not 0.2 <= every <= 3600:
        raise WrongUse(f"--every {every:g} is outside 0.2..3600")
    system = found(target)
    api = Api(replace(system, timeout_s=min(system.timeout_s, ANSWER_S_MAX)))
    if target.json:
        render.print_json(look(api).document())
        return 0
    if not sys.stdout.isatty():
        render.console().print(picture(look(api), api.system.url))
        return 0
    return _live(api, every)


def look(api: Api) -> Glance:
    """Ask for everything that is shown. Raises NobodyAnswers, ApiRefused."""
    rows: list[dict[str, Any]] = []
    for status in OPEN:
        rows += order_commands.listed(api, ORDERS_SHOWN, {"status": status})
    return Glance(health(api), api.get("/figures"), rows, fleet_commands.fleet(api))


def health(api: Api) -> Mapping[str, Any]:
    """The health document, also of a system that is not ready."""
    from dronedispatch.tool.errors import ApiRefused

    try:
        document: Mapping[str, Any] = api.get("/health")
    except ApiRefused as error:
        if "health" not in error.problem:
            raise
        document = error.problem
    return document


def _live(api: Api, every_s: float) -> int:
    glance, seen_s, trouble = look(api), time.monotonic(), ""
    screen = render.console()
    with (
        Live(console=screen, screen=True, auto_refresh=False) as live,
        keys(STDIN) as pressed,
    ):
        while True:
            stale_s = time.monotonic() - seen_s if trouble else 0.0
            rows = rows_of(screen.size.height - bool(trouble) - len(reasons(glance.health, REASONS_SHOWN)))
            live.update(picture(glance, api.system.url, stale_s, trouble, rows), refresh=True)
            if QUIT in pressed(every_s):
                return 0
            try:
                glance, seen_s, trouble = look(api), time.monotonic(), ""
            except ToolError as error:
                trouble = str(error)


def rows_of(height: int) -> int:
    """How many rows each of the two tables has on a screen of so many lines."""
    return max(1, min(ORDERS_SHOWN, (height - HEAD_LINES) // 2))


def picture(
    glance: Glance, url: str, stale_s: float = 0.0, trouble: str = "", rows: int | None = None
) -> RenderableType:
    """The whole screen. Stale: what is shown was so `stale_s` ago, and why nothing newer is known. `rows`: of each table, a
    line each; None: all that is shown, folded where the screen is narrow.
    """
    figures = glance.figures
    head = Text.assemble(
        (url, "bold"),
        "  ",
        Text("was " if trouble else ""),
        render.word(glance.health.get("health", "?")),
        f"  {render.clock_time(figures.get('at'))} UTC",
    )
    numbers = (
        f"{figures['pending']} wait  {figures['assigned']} assigned  {figures['in_progress']} in the air  "
        f"{figures['delivered']} delivered  {figures['orders_per_minute']} orders a minute  "
        f"to assign {render.number(figures['to_assign_mean_s'], 1, ' s')}  "
        f"to deliver {render.number(figures['to_deliver_mean_s'], 0, ' s')}"
    )
    parts: list[RenderableType] = [head]
    if trouble:
        parts.append(
            Text(
                f"STALE: as it was {stale_s:.0f} s ago. {render.plain(trouble.splitlines()[0])}",
                style="bold red",
            )
        )
    cut = rows is not None
    parts += [
        Text(one, style="yellow", no_wrap=cut, overflow="ellipsis" if cut else None)
        for one in reasons(glance.health, REASONS_SHOWN if cut else None)
    ]
    fleet = "  ".join(f"{count} {status}" for status, count in sorted(figures["drones"].items()))
    parts += [
        Text(numbers),
        Text(f"{len(glance.drones)} drones: {fleet}"),
        Text(""),
        _orders(glance, rows),
        Text(""),
        _drones(glance, rows),
    ]
    return Group(*parts)


def reasons(health_document: Mapping[str, Any], shown: int | None) -> list[str]:
    """What the system says of itself, a line each and each once; beyond `shown` of them, how many more there are."""
    known: dict[str, str] = {}
    for one in health_document.get("reasons") or ():
        text = render.plain(one.get("text"))
        known.setdefault(without_durations(text), f"{text} -> {render.plain(one.get('next'))}")
    lines = list(known.values())
    if shown is None or len(lines) <= shown:
        return lines
    return [*lines[: shown - 1], f"{len(lines) - shown + 1} more -> dronedispatch doctor"]


def _orders(glance: Glance, shown: int | None) -> RenderableType:
    if not glance.orders:
        return Text("no open order", style="dim")
    newest = sorted(glance.orders, key=lambda one: str(one["id"]), reverse=True)[: shown or ORDERS_SHOWN]
    rows = [
        (
            one["id"],
            render.word(one["status"]),
            one["drone_id"] or render.UNSEEN,
            render.clock_time(one["created_at"]),
            render.clock_time((one["eta"] or {}).get("at")),
        )
        for one in newest
    ]
    return render.table(("open order", "status", "drone", "created", "expected"), rows, fold=shown is None)


def _drones(glance: Glance, shown: int | None) -> RenderableType:
    """The emptiest batteries first: these want attention."""
    first = sorted(glance.drones, key=lambda one: (one["battery_pct"] is not None, one["battery_pct"] or 0.0))
    lines = [fleet_commands.line(one) for one in first[: shown or DRONES_SHOWN]]
    columns = [at for at, name in enumerate(fleet_commands.COLUMNS) if shown is None or name in LIVE_COLUMNS]
    return render.table(
        [fleet_commands.COLUMNS[at] for at in columns],
        [[line[at] for at in columns] for line in lines],
        right=("battery", "stops"),
        fold=shown is None,
    )
