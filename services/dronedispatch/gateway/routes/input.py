"""What every handler asks of a request before it looks into it."""

from __future__ import annotations

from sanic import Request

from dronedispatch.gateway.core.idempotency import why_no_key
from dronedispatch.gateway.core.listing import is_delivery_id, is_drone_id
from dronedispatch.runtime.problems import Problem

JSON_TYPES = ("application/json", "application/geo+json")


def json_body(request: Request, bytes_max: int) -> bytes:
    """Raises Problem 413 or 415."""
    kind = request.headers.get("content-type", JSON_TYPES[0]).partition(";")[0].strip().lower()
    if kind not in JSON_TYPES:
        raise Problem(415, f"the body must be {JSON_TYPES[0]}, not {kind[:80]!r}", field="Content-Type")
    if len(request.body) > bytes_max:
        raise Problem(413, f"the body has {len(request.body)} bytes, at most {bytes_max}", field="body")
    return bytes(request.body)


def no_body(request: Request, bytes_max: int) -> None:
    """An action without arguments: nothing, or an empty JSON object. Raises Problem 413, 415 or 422."""
    if request.body and json_body(request, bytes_max).strip() != b"{}":
        raise Problem(422, "this action takes no body", field="body")


def delivery_id(text: str) -> str:
    """Raises Problem 404 for a text that no delivery can be named by."""
    if not is_delivery_id(text):
        raise Problem(
            404, f"no delivery {text[:40]!r}: an id is a ULID of 26 characters", field="delivery_id"
        )
    return text


def drone_id(text: str) -> str:
    """Raises Problem 404 for a text that no drone can be named by."""
    if not is_drone_id(text):
        raise Problem(404, f"no drone {text[:40]!r}", field="drone_id")
    return text


def idempotency_key(request: Request) -> str | None:
    """The one Idempotency-Key, or None. Raises Problem 400."""
    keys = request.headers.getall("idempotency-key", [])
    if not keys:
        return None
    if len(keys) > 1:
        raise Problem(400, "several Idempotency-Key headers", field="Idempotency-Key")
    key = str(keys[0]).strip()
    if (reason := why_no_key(key)) is not None:
        raise Problem(400, f"Idempotency-Key {reason}", field="Idempotency-Key")
    return key


def arguments(request: Request) -> dict[str, list[str]]:
    """The query's parameters, empty values included."""
    return {
        str(name): [str(value) for value in values]
        for name, values in request.get_args(keep_blank_values=True).items()
    }
