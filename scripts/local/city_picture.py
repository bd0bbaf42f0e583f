"""A city as an SVG picture: boundary, zones, no-fly areas, charge points, and a few ways between them."""

from __future__ import annotations

from itertools import pairwise
from xml.sax.saxutils import escape

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from dronedispatch.fleet.city import City
from dronedispatch.fleet.paths import paths_of

WIDTH = 1_000.0
MARGIN = 20.0
WAYS_MAX = 12


def svg_of(city: City, title: str) -> str:
    """North is up."""
    west, south, east, north = city.boundary.shape.bounds
    scale = (WIDTH - 2 * MARGIN) / max(east - west, north - south)
    high = (north - south) * scale + 2 * MARGIN + 30.0

    def at(x_m: float, y_m: float) -> str:
        return f"{MARGIN + (x_m - west) * scale:.1f},{MARGIN + 30.0 + (north - y_m) * scale:.1f}"

    def path(shape: BaseGeometry) -> str:
        rings = shapely.get_rings(shapely.get_parts(shape))
        return " ".join(
            "M" + " L".join(at(x, y) for x, y in shapely.get_coordinates(ring)) + " Z" for ring in rings
        )

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:.0f}" height="{high:.0f}" font-family="sans-serif">',
        f'<rect width="{WIDTH:.0f}" height="{high:.0f}" fill="#fff"/>',
        f'<text x="{MARGIN}" y="28" font-size="18">{escape(title)}</text>',
        f'<path d="{path(city.boundary.shape)}" fill="#eef3f8" stroke="#1f3b57" stroke-width="2" fill-rule="evenodd"/>',
    ]
    lines += [
        f'<path d="{path(zone.shape)}" fill="none" stroke="#8aa5bf" stroke-width="0.8">'
        f"<title>{escape(zone.name or zone.id)}</title></path>"
        for zone in city.zones
    ]
    red = 'fill="#d33" fill-opacity="0.35" stroke="#d33" fill-rule="evenodd"'
    lines += [f'<path d="{path(area.shape)}" {red}/>' for area in city.no_fly]
    paths = paths_of(city)
    points = [point.at for point in city.charge_points]
    for start, end in list(pairwise(points))[:WAYS_MAX]:
        way = [start, *paths.route(start, end)]
        if len(way) > 1:
            drawn = " ".join(at(x, y) for x, y in way)
            dashed = 'fill="none" stroke="#e69f00" stroke-width="1.2" stroke-dasharray="5 3"'
            lines.append(f'<polyline points="{drawn}" {dashed}/>')
    for point in city.charge_points:
        x, y = at(*point.at).split(",")
        lines.append(
            f'<circle cx="{x}" cy="{y}" r="5" fill="#0a7d33"><title>{escape(point.id)}</title></circle>'
        )
    return "\n".join([*lines, "</svg>", ""])


def reachable_share(city: City, samples: int = 2_000, seed: int = 1) -> float:
    """Of the ground that is no no-fly area, the share that drones come to from a charge point."""
    rng = np.random.default_rng(seed)
    west, south, east, north = city.boundary.shape.bounds
    spots = np.stack([rng.uniform(west, east, samples * 4), rng.uniform(south, north, samples * 4)], axis=1)
    spots = spots[city.inside(spots)][:samples]
    return float(paths_of(city).reachable(spots).mean()) if len(spots) else 0.0
