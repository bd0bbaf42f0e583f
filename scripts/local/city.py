"""`scripts/city`: makes a city document of what cities publish, and says what a city document is worth."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.local.trouble import run_command
from scripts.local.words import between

if TYPE_CHECKING:  # what needs the checkout's environment is imported when it is used: --help does without
    from dronedispatch.fleet.city import City

BYTES_MAX = 1_000_000  # what a gateway takes, less a little
TOLERANCE_MAX_M = 200.0
GAP_MAX_M = 500.0
SPREAD_MAX = 200


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="scripts/city", description="City documents: make one of a file of quarters, or look at one."
    )
    verbs = command.add_subparsers(dest="verb", required=True)
    _add_import(verbs.add_parser("import", help="quarters, districts or neighbourhoods (GeoJSON) -> a city"))
    check = verbs.add_parser("check", help="what a gateway says of a city document, and what planning costs")
    check.add_argument("file", type=Path)
    check.add_argument("--picture", type=Path, metavar="FILE.svg")
    return command


def _add_import(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("file", type=Path, help="a FeatureCollection with Polygons and MultiPolygons, longitude first")
    document = "the city document (for scripts/up --city)"
    add("-o", "--output", type=Path, required=True, metavar="FILE", help=document)
    add("--name", help="of the city (default: the file's name)")
    metres, count = partial(between, float, 0.0), partial(between, int)
    for name, kind, default, metavar, told in (
        ("tolerance", metres(TOLERANCE_MAX_M), 10.0, "M", "corners may move by so many metres (default: 10)"),
        ("gap", metres(GAP_MAX_M), 20.0, "M", "gaps up to twice this are closed (default: 20)"),
        ("charge-points", count(0, SPREAD_MAX), 0, "N", "how many to spread (default: one for every 12 km²)"),
        ("capacity", count(1, 10_000), 8, "N", "drones that charge at once at each (default: 8)"),
    ):
        add(f"--{name}", type=kind, default=default, metavar=metavar, help=told)
    places, told = "LAT,LON[,CAPACITY]", "a charge point; repeat it. None are spread then"
    add("--charge-point", action="append", default=[], type=_place, metavar=places, help=told)
    add("--picture", type=Path, metavar="FILE.svg", help="of the result (default: beside the document)")


def _place(text: str) -> tuple[float, float, int]:
    numbers = text.split(",")
    if len(numbers) not in (2, 3):
        raise argparse.ArgumentTypeError("must be LAT,LON or LAT,LON,CAPACITY")
    try:
        return float(numbers[0]), float(numbers[1]), int(numbers[2]) if len(numbers) == 3 else 8
    except ValueError as error:
        raise argparse.ArgumentTypeError("must be numbers, latitude first") from error


def read(path: Path) -> object:
    """The decoded file. Raises SystemExit with a sentence."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SystemExit(f"scripts/city: {path}: {error.strerror}") from error
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SystemExit(f"scripts/city: {path} is no JSON: {_why_no_text(raw, error)}") from error
    except json.JSONDecodeError as error:
        raise SystemExit(
            f"scripts/city: {path} is no JSON: {error}. Convert it to one GeoJSON document first "
            "(ogr2ogr out.geojson FILE reads features a line, KML and shapefiles)"
        ) from error
    except ValueError as error:  # Python reads no whole number of more than some thousand digits
        raise SystemExit(f"scripts/city: {path} holds a number of thousands of digits: repair it") from error
    except RecursionError as error:
        raise SystemExit(f"scripts/city: {path} is nested too deeply to be GeoJSON") from error


def _why_no_text(raw: bytes, error: UnicodeDecodeError) -> str:
    if raw.startswith((b"\x1f\x8b", b"PK")):
        return "it is compressed: unpack it first"
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it is UTF-16: convert it first (iconv -f UTF-16 -t UTF-8)"
    return f"byte {error.start} is no UTF-8: convert it first (iconv -f LATIN1 -t UTF-8, if it is Latin-1)"


def judged(document: object, say: list[str]) -> City:
    """The city that a gateway would take. Raises CityInvalid."""
    from scripts.local.city_picture import reachable_share

    from dronedispatch.fleet.city import parse_city
    from dronedispatch.fleet.geojson import refuse_strange_names
    from dronedispatch.fleet.paths import paths_of

    refuse_strange_names(document)
    began_s = time.process_time()
    city = parse_city(document, "candidate")
    parsed_s = time.process_time()
    paths = paths_of(city)
    paths.refuse_new()
    planned_s = time.process_time()
    say.append(
        f"checked in {(parsed_s - began_s) * 1000:.0f} ms and planned in {(planned_s - parsed_s) * 1000:.0f} ms of CPU "
        f"({paths.steps:,} steps); {reachable_share(city):.1%} of its ground can be reached"
    )
    say.append(
        f"{city.boundary.shape.area / 1e6:.1f} km², {city.diameter_m / 1000:.1f} km across, {len(city.zones)} zones, "
        f"{len(city.charge_points)} charge points, {len(city.no_fly)} no-fly areas"
    )
    return city


def do_import(given: argparse.Namespace) -> None:
    """Coarser and coarser until a gateway takes it; says with which tolerance."""
    from scripts.local.city_import import Wish, make_city
    from scripts.local.city_picture import svg_of
    from scripts.local.city_source import NoQuarters

    from dronedispatch.fleet.geojson import CityInvalid
    from dronedispatch.fleet.positions import LatLon

    picture = given.picture or given.output.with_suffix(".svg")
    _refuse_one_file_twice(
        {"the file of quarters": given.file, "the document": given.output, "its picture": picture}
    )
    source = read(given.file)
    tolerance_m = given.tolerance
    while True:
        wish = Wish(
            tolerance_m=tolerance_m,
            gap_m=given.gap,
            spread=given.charge_points,
            capacity=given.capacity,
            charge_points=[(LatLon(lat=lat, lon=lon), places) for lat, lon, places in given.charge_point],
            name=_name_of(given),
        )
        try:
            made = make_city(source, wish)
            body = json.dumps(made.document, ensure_ascii=False)
            size = len(body.encode())
            if size > BYTES_MAX:
                raise CityInvalid(
                    "features", f"make a document of {size:,} bytes, and {BYTES_MAX:,} are the most"
                )
            city = judged(made.document, made.said)
            break
        except NoQuarters as error:
            raise SystemExit(f"scripts/city: {given.file}: {error}") from error
        except CityInvalid as error:
            if error.field != "features" or tolerance_m * 2 > TOLERANCE_MAX_M:
                raise SystemExit(f"scripts/city: {given.file} makes no city: {error}") from error
            tolerance_m *= 2
            print(f"  {error}: once more with a tolerance of {tolerance_m:g} m")
    for line in made.said:
        print(f"  {line}")
    _write(given.output, body + "\n")
    _write(picture, svg_of(city, wish.name))
    output = _shown(given.output)
    print(
        f"{output} ({size / 1000:.0f} kB), picture {_shown(picture)}; run it with scripts/up --city {output}"
    )


def _refuse_one_file_twice(files: dict[str, Path]) -> None:
    """Whoever writes the document over its source, or the picture over the document, has lost one of them."""
    for (one, at), (other, there) in combinations(files.items(), 2):
        if at.resolve() == there.resolve():
            raise SystemExit(
                f"scripts/city: {one} and {other} are both {at}: give another --output or --picture"
            )


def _name_of(given: argparse.Namespace) -> str:
    """Text that JSON can hold, whatever bytes the file's name has."""
    from scripts.local.city_source import printable

    from dronedispatch.fleet.geojson import NAME_CHARS_MAX

    return printable(given.name or given.file.stem.replace("_", " ").title())[:NAME_CHARS_MAX] or "City"


def _shown(path: Path) -> str:
    """A path for printing: a byte of it that is no UTF-8 ends no command."""
    return os.fsencode(path).decode("utf-8", "replace")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SystemExit(f"scripts/city: cannot write {path}: {error.strerror}") from error


def do_check(given: argparse.Namespace) -> None:
    """Says what is wrong, by the field, or what the city is."""
    from scripts.local.city_picture import svg_of

    from dronedispatch.fleet.geojson import CityInvalid

    said: list[str] = []
    try:
        city = judged(read(given.file), said)
    except CityInvalid as error:
        raise SystemExit(f"scripts/city: {given.file}: {error}") from error
    print("\n".join(said))
    if given.picture:
        _write(given.picture, svg_of(city, city.boundary.name or city.boundary.id))


def main(arguments: list[str]) -> int:
    """0. Raises SystemExit with a sentence where it comes to nothing."""
    given = parser().parse_args(arguments)
    do_import(given) if given.verb == "import" else do_check(given)
    return 0


if __name__ == "__main__":
    run_command(lambda: main(sys.argv[1:]), Path.cwd)
