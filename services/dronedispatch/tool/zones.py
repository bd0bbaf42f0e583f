"""`dronedispatch zones`: get, diff and apply the city document. A city is replaced in one step, or not at all."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.text import Text

from dronedispatch.tool import render
from dronedispatch.tool.api import Api
from dronedispatch.tool.errors import ApiRefused, OutcomeNotKnown, ToolError, WrongUse
from dronedispatch.tool.orders import NO_TARGET
from dronedispatch.tool.system import Target, found
from dronedispatch.tool.zone_diff import ZoneChange, differences, same_city

FILE = Annotated[str, Parameter(allow_leading_hyphen=True, help="a GeoJSON file; - reads standard input")]
STYLES = {"+": "green", "-": "red", "~": "yellow"}


def get(
    *,
    file: Annotated[Path | None, Parameter(help="write it there instead")] = None,
    target: Target = NO_TARGET,
) -> int:
    """Print the city as GeoJSON."""
    document, etag = _now(Api(found(target)))
    if file is None:
        render.print_json(document)
        return 0
    try:
        _write(file, json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise ToolError(f"{file} cannot be written: {error.strerror}") from error
    print(f"{file}: the city of version {render.plain(etag)}")
    return 0


def _write(file: Path, text: str) -> None:
    """In one step, whatever the disk does, where `file` is one or none; into it, where it is a pipe. Raises OSError."""
    if file.exists() and not file.is_file():
        file.write_text(text, encoding="utf-8")
        return
    target = file.resolve()
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(target)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def diff(file: FILE, *, target: Target = NO_TARGET) -> int:
    """Say what a city file would change: 0 nothing, 3 something."""
    wanted = read_city(file)
    document, etag = _now(Api(found(target)))
    found_changes = differences(document, wanted)
    _tell(found_changes, etag, target)
    return 3 if found_changes else 0


def apply(
    file: FILE,
    *,
    if_match: Annotated[
        str | None, Parameter(help="only if the city still has this version (default: the one just read)")
    ] = None,
    target: Target = NO_TARGET,
) -> int:
    """Replace the city by a file, unless somebody has changed it since it was read."""
    wanted = read_city(file)
    api = Api(found(target))
    before, etag = _now(api)
    match = if_match or etag
    changes = differences(before, wanted)
    if not changes and match == etag:
        _tell(changes, etag, target)
        return 0
    quoted = match if match == "*" or match.startswith('"') else f'"{match}"'
    headers = {"If-Match": quoted, "Content-Type": "application/geo+json"}
    try:
        answer = api.ask("PUT", "/zones", body=json.dumps(wanted).encode(), headers=headers)
        after = answer.headers.get("etag", "").strip('"')
    except OutcomeNotKnown as error:
        after = _settled(api, wanted, etag, error)
    except ApiRefused as error:
        if error.status != 412:
            raise
        raise ToolError(
            f"{error}\nsomebody has changed the city: nothing was done. Look with: {api.next_command(f'zones diff {file}')}"
        ) from error
    _tell(changes, after, target)
    return 0


def _settled(api: Api, wanted: dict[str, Any], etag: str, error: OutcomeNotKnown) -> str:
    """After a lost answer the city itself says what became of it."""
    again = f"look with: {api.next_command('zones diff FILE')}"
    try:
        document, now = _now(api)
    except ToolError:
        raise OutcomeNotKnown(f"unknown whether the city was replaced: {error}\n{again}") from error
    if now != etag and same_city(document, wanted):
        return now
    if now == etag:
        raise OutcomeNotKnown(
            f"the city is not replaced so far, and may still be: {error}\n{again}"
        ) from error
    raise OutcomeNotKnown(f"somebody has put another city meanwhile: {error}\n{again}") from error


def _now(api: Api) -> tuple[dict[str, Any], str]:
    answer = api.ask("GET", "/zones", headers={"Accept": "application/geo+json"})
    document: dict[str, Any] = answer.document
    return document, answer.headers.get("etag", "").strip('"')


def read_city(name: str) -> dict[str, Any]:
    """The document of a file, read whole before anything is asked. Raises WrongUse."""
    if name == "-" and sys.stdin is None:
        raise WrongUse("- cannot be read: standard input is closed")
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
        document = json.loads(text)
    except OSError as error:
        raise WrongUse(f"{name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise WrongUse(f"{name} is not JSON: {error}") from error
    except RecursionError as error:
        raise WrongUse(f"{name} is nested too deeply to be GeoJSON") from error
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list) or document.get("type") != "FeatureCollection":
        raise WrongUse(f'{name} is no GeoJSON FeatureCollection: it has "type" and "features"')
    return dict(document)


def _tell(changes: list[ZoneChange], etag: str, target: Target) -> None:
    if target.json:
        render.print_json({"version": etag, "changes": [one._asdict() for one in changes]})
        return
    screen = render.console()
    for one in changes:
        what = f": {one.what}" if one.what else ""
        screen.print(Text(render.plain(f"{one.sign} {one.kind} {one.id}{what}"), style=STYLES[one.sign]))
    screen.print(
        f"{len(changes) or 'no'} difference{'' if len(changes) == 1 else 's'}; "
        f"the city has version {render.plain(etag)}"
    )


def commands() -> App:
    """The command group."""
    app = App(name="zones", help="The city: get, diff, apply.")
    for name, run in (("get", get), ("diff", diff), ("apply", apply)):
        app.command(run, name=name)
    return app
