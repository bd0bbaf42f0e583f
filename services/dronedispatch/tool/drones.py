"""`dronedispatch drones`: list, get, drain and undrain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from dronedispatch.tool import render
from dronedispatch.tool.api import Api
from dronedispatch.tool.orders import NO_TARGET, segment
from dronedispatch.tool.system import Target, found

PAGE = 500
COLUMNS = ("drone", "type", "status", "battery", "at", "order", "stops", "last contact", "in service")
SPARE = ("at", "stops", "in service", "type")  # on a narrow screen


def list_(
    *,
    status: Annotated[
        Literal["inactive", "idle", "busy", "charging", "retiring"] | None, Parameter(help="only these")
    ] = None,
    type_: Annotated[str | None, Parameter(name="--type", help="only of this type")] = None,
    target: Target = NO_TARGET,
) -> int:
    """List the fleet."""
    rows = fleet(Api(found(target)), {"status": status, "type": type_})
    if target.json:
        render.print_json(rows)
    elif rows:
        screen = render.console()
        lines = [line(one) for one in rows]
        screen.print(
            render.table(COLUMNS, lines, right=("battery", "stops"), spare=SPARE, width=screen.width)
        )
    else:
        print("no drone is like that" if status or type_ else "no drone is registered yet")
    return 0


def fleet(api: Api, query: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
    """Every drone, page by page."""
    rows: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = api.get("/drones", {**(query or {}), "limit": PAGE, "after": after})
        rows += page["drones"]
        after = page["next"]
        if after is None:
            return rows


def line(one: Mapping[str, Any]) -> tuple[object, ...]:
    """A drone as a row of the table."""
    return (
        one["id"],
        one["type"],
        render.word(one["status"]),
        render.number(one["battery_pct"], 0, " %"),
        render.place(one["pos"]),
        one["delivery_id"] or render.UNSEEN,
        len(one["orders"]["stops"]),
        render.clock_time(one["at"]),
        "drained" if one["decommissioned"] else "yes",
    )


def get(drone: Annotated[str, Parameter(help="its id")], /, *, target: Target = NO_TARGET) -> int:
    """Show one drone and its stops."""
    one = Api(found(target)).get(f"/drones/{segment(drone)}")
    if target.json:
        render.print_json(one)
        return 0
    screen = render.console()
    rows = list(zip(COLUMNS, line(one), strict=True))
    screen.print(render.pairs([*rows, ("because", one["cause"]), ("since", one["status_at"])]))
    done = one["stops_done"] if one["orders_seq"] == one["orders"]["seq"] else 0
    if stops := one["orders"]["stops"]:
        screen.print()
        lines = [
            (
                stop["kind"],
                render.place(stop["pos"]),
                stop["delivery_id"] or stop["station"] or render.UNSEEN,
                "done" if number < (done or 0) else "to come",
            )
            for number, stop in enumerate(stops)
        ]
        screen.print(render.table(("stop", "where", "for", "state"), lines))
    return 0


def drain(drone: Annotated[str, Parameter(help="its id")], /, *, target: Target = NO_TARGET) -> int:
    """Take a drone out of service: it finishes what it carries, and is given no more."""
    return _set_state(drone, "decommission", "leaves service after what it carries", target)


def undrain(drone: Annotated[str, Parameter(help="its id")], /, *, target: Target = NO_TARGET) -> int:
    """Bring a drone back into service."""
    return _set_state(drone, "recommission", "comes back into service", target)


def _set_state(drone: str, verb: str, said: str, target: Target) -> int:
    api = Api(found(target))
    answer = api.change(f"/drones/{segment(drone)}/{verb}", f"drone {drone} was told", f"drones get {drone}")
    if target.json:
        render.print_json(answer)
    else:
        print(render.plain(f"{answer['drone_id']} {said}"))
    return 0


def commands() -> App:
    """The command group."""
    app = App(name="drones", help="The fleet: list, get, drain, undrain.")
    for name, run in (("list", list_), ("get", get), ("drain", drain), ("undrain", undrain)):
        app.command(run, name=name)
    return app
