"""Deliveries as rows: CSV (RFC 4180) and JSON lines."""

from __future__ import annotations

import csv
import io

from dronedispatch.fleet.deliveries import Delivery
from dronedispatch.fleet.documents import encode

JSON = "application/json"
CSV = "text/csv"
NDJSON = "application/x-ndjson"

COLUMNS = (
    "id",
    "status",
    "origin_lat",
    "origin_lon",
    "destination_lat",
    "destination_lon",
    "weight",
    "priority",
    "deadline",
    "drone_id",
    "created_at",
    "assigned_at",
    "picked_up_at",
    "delivered_at",
    "ended_at",
    "eta_at",
    "eta_confidence",
    "cause",
)


class NotAcceptable(ValueError):
    """The Accept header excludes every form that a list has (406)."""


def negotiate(accept: str) -> str:
    """The one of JSON, CSV and NDJSON that `accept` prefers (RFC 9110, 12.5.1); JSON when it names none of them.

    Raises NotAcceptable when it excludes all three.
    """
    if not accept.strip():
        return JSON
    best, best_q = None, 0.0
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        q = _quality(parameters)
        for kind in (JSON, CSV, NDJSON):
            if media in {kind, "*/*", kind.split("/")[0] + "/*"} and q > best_q:
                best, best_q = kind, q
                break
    if best is None:
        raise NotAcceptable(f"none of {JSON}, {CSV}, {NDJSON} is accepted")
    return best


def csv_head() -> bytes:
    """The header line."""
    return _line(COLUMNS)


def csv_row(delivery: Delivery) -> bytes:
    """One delivery as one line, in the order of COLUMNS; what is not known is empty."""
    eta = delivery.eta
    return _line(
        (
            delivery.id,
            delivery.status.value,
            delivery.origin.lat,
            delivery.origin.lon,
            delivery.destination.lat,
            delivery.destination.lon,
            delivery.weight_kg,
            delivery.priority,
            delivery.deadline,
            delivery.drone_id,
            delivery.created_at,
            delivery.assigned_at,
            delivery.picked_up_at,
            delivery.delivered_at,
            delivery.ended_at,
            None if eta is None else eta.at,
            None if eta is None else eta.confidence,
            delivery.history[-1].cause if delivery.history else None,
        )
    )


def ndjson_row(delivery: Delivery) -> bytes:
    """One delivery as one line of JSON."""
    return encode(delivery) + b"\n"


def _line(values: tuple[object, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().encode()


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
