"""`dronedispatch orders`: place, list, get, watch, why; cancel, priority and deadline, of one or of several."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote

from cyclopts import App, Parameter
from rich.text import Text

from dronedispatch.tool import render
from dronedispatch.tool.api import Api
from dronedispatch.tool.errors import (
    UNKNOWN,
    ApiRefused,
    NobodyAnswers,
    OutcomeNotKnown,
    ToolError,
    WrongUse,
)
from dronedispatch.tool.system import Target, found

Status = Literal["pending", "assigned", "in-progress", "delivered", "cancelled", "failed"]
ENDED = {"delivered", "cancelled", "failed"}
PAGE = 500
POLL_S = 1.0
SET_TRIES = 5  # of a change, while others change the same order
NO_TARGET = Target()


def body_of(
    origin: str, destination: str, weight: float, priority: int | None, deadline: str | None
) -> dict[str, object]:
    """The body of POST /deliveries. Raises WrongUse for what is no position."""
    body: dict[str, object] = {
        "origin": position(origin, "--from"),
        "destination": position(destination, "--to"),
        "weight": weight,
    }
    if priority is not None:
        body["priority"] = priority
    if deadline is not None:
        body["deadline"] = deadline
    return body


def position(text: str, option: str) -> dict[str, float]:
    """LAT,LON in degrees. Raises WrongUse."""
    try:
        lat, lon = (float(part) for part in text.split(","))
    except ValueError:
        raise WrongUse(
            f"{option} {text}: give LAT,LON in degrees, such as {option} 41.8902,12.4922"
        ) from None
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise WrongUse(f"{option} {text}: latitude is -90..90, longitude -180..180, in this order")
    return {"lat": lat, "lon": lon}


def place(
    *,
    origin: Annotated[
        str, Parameter(name="--from", allow_leading_hyphen=True, help="where it is fetched: LAT,LON")
    ],
    destination: Annotated[
        str, Parameter(name="--to", allow_leading_hyphen=True, help="where it goes: LAT,LON")
    ],
    weight: Annotated[float, Parameter(help="kilograms")],
    priority: Annotated[int | None, Parameter(help="0 (normal) to 9 (most urgent)")] = None,
    deadline: Annotated[str | None, Parameter(help="RFC 3339, such as 2030-05-01T12:00:00Z")] = None,
    key: Annotated[
        str | None, Parameter(help="Idempotency-Key: the same key never makes a second order")
    ] = None,
    target: Target = NO_TARGET,
) -> int:
    """Place an order; a lost answer is asked for again with the same key, so it is one order."""
    body = body_of(origin, destination, weight, priority, deadline)
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise WrongUse("--key takes 1 to 255 printable ASCII characters")
    api, used = Api(found(target)), key or str(uuid.uuid4())
    try:
        answer = api.ask(
            "POST",
            "/deliveries",
            body=json.dumps(body).encode(),
            headers={"Idempotency-Key": used},
            repeatable=True,
        ).document
    except OutcomeNotKnown as error:
        raise OutcomeNotKnown(
            f"unknown whether the order was placed: {error}\n"
            f"type the same with --key {used}: the same key never makes a second order"
        ) from error
    if target.json:
        render.print_json(answer | {"key": used})
    else:
        eta = answer.get("eta") or {}
        expected = f", expected {render.clock_time(eta.get('at'))} UTC" if eta else ""
        print(render.plain(f"{answer['id']} placed{expected}"))
    return 0


def list_(
    *,
    status: Annotated[Status | None, Parameter(help="only these")] = None,
    drone: Annotated[str | None, Parameter(help="only of this drone")] = None,
    prefix: Annotated[str | None, Parameter(help="only those whose id begins so")] = None,
    limit: Annotated[int, Parameter(help="at most so many, newest first")] = 50,
    target: Target = NO_TARGET,
) -> int:
    """List orders, newest first."""
    if limit < 1:
        raise WrongUse(f"--limit {limit} is not at least 1")
    rows = listed(Api(found(target)), limit, {"status": status, "drone": drone, "id_prefix": prefix})
    if target.json:
        render.print_json(rows)
        return 0
    columns = ("order", "status", "drone", "weight", "priority", "created", "expected", "ended")
    lines = [
        (
            one["id"],
            render.word(one["status"]),
            one["drone_id"] or render.UNSEEN,
            render.number(one["weight"], 2, " kg"),
            one["priority"],
            render.clock_time(one["created_at"]),
            render.clock_time((one["eta"] or {}).get("at")) if one["status"] not in ENDED else render.UNSEEN,
            render.clock_time(one["ended_at"]),
        )
        for one in rows
    ]
    if lines:
        screen = render.console()
        spare = ("priority", "weight", "ended")
        screen.print(
            render.table(columns, lines, right=("weight", "priority"), spare=spare, width=screen.width)
        )
    else:
        print(
            "no order is like that"
            if status or drone or prefix
            else "no order yet: place one with dronedispatch orders place"
        )
    return 0


def listed(api: Api, limit: int, query: Mapping[str, object]) -> list[dict[str, Any]]:
    """Up to `limit` orders, page by page."""
    rows: list[dict[str, Any]] = []
    after: str | None = None
    while len(rows) < limit:
        page = api.get("/deliveries", {**query, "limit": min(PAGE, limit - len(rows)), "after": after})
        rows += page["deliveries"]
        after = page["next"]
        if after is None:
            break
    return rows


def get(order: Annotated[str, Parameter(help="its id")], /, *, target: Target = NO_TARGET) -> int:
    """Show one order with its history."""
    show(Api(found(target)).get(f"/deliveries/{segment(order)}"), target)
    return 0


def segment(text: str) -> str:
    """An id as a part of a path. Raises WrongUse for none."""
    if not text.strip() or text in {".", ".."}:
        raise WrongUse("an id is empty")
    return quote(text, safe="")


def show(one: Mapping[str, Any], target: Target) -> None:
    """One order, whole."""
    if target.json:
        render.print_json(one)
        return
    eta = one["eta"] or {}
    rows: list[tuple[str, object]] = [
        ("order", one["id"]),
        ("status", render.word(one["status"])),
        ("from", render.place(one["origin"])),
        ("to", render.place(one["destination"])),
        ("weight", render.number(one["weight"], 2, " kg")),
        ("priority", one["priority"]),
        ("deadline", one["deadline"] or render.UNSEEN),
        ("drone", one["drone_id"] or render.UNSEEN),
        ("created", one["created_at"]),
        ("expected", eta.get("at", render.UNSEEN)),
        ("request", one["request_id"] or render.UNSEEN),
    ]
    screen = render.console()
    screen.print(render.pairs(rows))
    screen.print()
    screen.print(
        render.table(
            ("at", "status", "drone", "cause"),
            [
                (line["at"], render.word(line["to"]), line["drone_id"] or render.UNSEEN, line["cause"])
                for line in one["history"]
            ],
        )
    )


def watch(
    order: Annotated[str, Parameter(help="its id")],
    /,
    *,
    within: Annotated[float, Parameter(help="give up after so many seconds")] = 3600.0,
    target: Target = NO_TARGET,
) -> int:
    """Follow one order until it ends: 0 delivered, 1 cancelled or failed."""
    if not 0 < within <= 7 * 86400:
        raise WrongUse(f"--within {within:g} is not above 0 and at most a week")
    api, told = Api(found(target)), 0
    deadline_s = time.monotonic() + within
    while True:
        try:
            one = api.get(f"/deliveries/{segment(order)}")
        except (NobodyAnswers, ApiRefused) as error:
            if told == 0 or (isinstance(error, ApiRefused) and error.status < 500):
                raise
            raise ToolError(
                f"{error}\nthe order is where it was; watch on with: {api.next_command(f'orders watch {order}')}"
            ) from error
        news = one["history"][told:] if told <= len(one["history"]) else one["history"][-1:]
        for line in news:
            _tell_step(one["id"], line, target)
        told = len(one["history"])
        if one["status"] in ENDED:
            return 0 if one["status"] == "delivered" else 1
        if time.monotonic() >= deadline_s:
            raise ToolError(
                f"order {one['id']} is {one['status']} after {within:g} s: see {api.next_command(f'orders why {order}')}"
            )
        time.sleep(POLL_S)


def _tell_step(order: str, line: Mapping[str, Any], target: Target) -> None:
    if target.json:
        render.print_json({"delivery_id": order, **line}, line=True)
        return
    drone = f"  {line['drone_id']}" if line["drone_id"] else ""
    said = f"{render.clock_time(line['at'])}  {line['to']:<11}{drone}  {line['cause']}"
    print(render.plain(said), flush=True)


Ids = Annotated[list[str], Parameter(help="their ids, one or several", consume_multiple=True)]


def cancel(orders: Ids, /, *, target: Target = NO_TARGET) -> int:
    """Cancel orders; one that is on board already is refused. Cancelling twice changes nothing."""
    api = Api(found(target))

    def one(order: str) -> tuple[str, Any]:
        path = f"/deliveries/{segment(order)}/cancel"
        after = api.change(path, f"order {order} was cancelled", f"orders get {order}")
        return f"{after['id']} {after['status']}", after

    return each(orders, one, target)


def priority(
    value: Annotated[int, Parameter(help="0 (normal) to 9 (most urgent)")],
    orders: Ids,
    /,
    *,
    target: Target = NO_TARGET,
) -> int:
    """Change the priority of open orders. What it was is printed: it takes the change back."""
    return _set(orders, "priority", value, target)


def deadline(
    moment: Annotated[str, Parameter(help="RFC 3339, such as 2030-05-01T12:00:00Z, or none")],
    orders: Ids,
    /,
    *,
    target: Target = NO_TARGET,
) -> int:
    """Change the deadline of open orders. What it was is printed: it takes the change back."""
    return _set(orders, "deadline", None if moment == "none" else moment, target)


def _set(orders: Sequence[str], name: str, value: object, target: Target) -> int:
    api = Api(found(target))

    def one(order: str) -> tuple[str, Any]:
        path = f"/deliveries/{segment(order)}"
        for _ in range(SET_TRIES):
            read = api.ask("GET", path)
            was = _worded(read.document[name])
            asked = f"the {name} of order {order} was changed from {was} to {_worded(value)}"
            etag = read.headers.get("etag")
            try:
                after = api.change(f"{path}/{name}", asked, f"orders get {order}", {name: value}, etag)
            except ApiRefused as error:
                if error.status != 412:
                    raise
                continue  # the system moved the order on between the two: what it is now is read, and told
            return f"{after['id']} {name} {was} -> {_worded(after[name])}", after
        raise ToolError(
            f"order {order} changed {SET_TRIES} times while its {name} was being set: nothing was done. Type the same again"
        )

    return each(orders, one, target)


def _worded(value: object) -> object:
    return "none" if value is None else value


def each(orders: Sequence[str], work: Callable[[str], tuple[str, Any]], target: Target) -> int:
    """A line for each; one that fails keeps no other from being done. 0, or how the worst one ended."""
    if len(orders) == 1:  # one document, and one error with its own code
        _tell(*work(orders[0]), target)
        return 0
    codes = [0]
    for order in orders:
        try:
            _tell(*work(order), target)
        except ToolError as error:
            sys.stdout.flush()
            unknown = isinstance(error, OutcomeNotKnown)  # and its text begins so
            verdict = "" if unknown else " not done"
            print(f"{order}{verdict}: {render.plain_lines(error)}", file=sys.stderr)
            codes.append(error.code)
    return UNKNOWN if UNKNOWN in codes else max(codes)


def _tell(said: str, document: Any, target: Target) -> None:
    if target.json:
        render.print_json(document, line=True)
    else:
        print(render.plain(said), flush=True)


def why(order: Annotated[str, Parameter(help="its id")], /, *, target: Target = NO_TARGET) -> int:
    """Say why an order is where it is, and what keeps each drone from it."""
    answer = Api(found(target)).get(f"/deliveries/{segment(order)}/why")
    if target.json:
        render.print_json(answer)
        return 0
    screen = render.console()
    screen.print(Text(render.plain(answer["summary"])))
    drones = answer.get("drones") or []
    if drones:
        screen.print()
        screen.print(render.table(("drone", "what keeps it"), [_reason(one) for one in drones]))
    return 0


def _reason(one: Mapping[str, Any]) -> tuple[str, str]:
    known = {
        name: value for name, value in one.items() if name not in {"drone_id", "id"} and value is not None
    }
    said = known.get("detail") or known.get("reason") or known.get("why")
    text = str(said) if said else ", ".join(f"{name} {value}" for name, value in known.items())
    return str(one.get("drone_id") or one.get("id") or "?"), text


def commands() -> App:
    """The command group."""
    app = App(name="orders", help="Orders: place, list, get, watch, cancel, priority, deadline, why.")
    for name, run in (
        ("place", place),
        ("list", list_),
        ("get", get),
        ("watch", watch),
        ("cancel", cancel),
        ("priority", priority),
        ("deadline", deadline),
        ("why", why),
    ):
        app.command(run, name=name)
    return app
