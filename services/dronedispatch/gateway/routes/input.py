"""What every handler asks of a request before it looks into it."""

from __future__ import annotations

from typing import Any

from sanic import Request

from dronedispatch.gateway.core.body import decode_body
from dronedispatch.gateway.core.contract import field_errors
from dronedispatch.gateway.core.fields import DeliveryId, DroneId
from dronedispatch.gateway.core.headers import IF_MATCH, Header, header_value
from dronedispatch.gateway.core.order import NoMembers
from dronedispatch.gateway.core.refusal import NoSuchPath
from dronedispatch.runtime.etags import Tags, parse_tags
from dronedispatch.runtime.problems import Problem

JSON = "application/json"
GEOJSON = "application/geo+json"
FORM_TYPES = (
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "text/plain",
)  # what a page sends unasked


def json_body(request: Request, bytes_max: int, types: tuple[str, ...] = (JSON,)) -> bytes:
    """The body's bytes, which one of these JSON types came with. Raises Problem 413 or 415."""
    kind, parameters = _media_type(request)
    if kind not in types:
        given = f"not {kind[:80]!r}" if kind else "and nothing says that it is"
        raise Problem(415, f"the body must be {JSON}, {given}", field="Content-Type")
    charset = parameters.get("charset", "utf-8")
    if charset not in {"utf-8", "utf8"}:
        raise Problem(415, f"the body must be in UTF-8, not {charset[:40]!r}", field="Content-Type")
    coding = str(request.headers.get("content-encoding", "identity")).strip().lower()
    if coding != "identity":
        raise Problem(415, f"the body must not be encoded, as by {coding[:40]!r}", field="Content-Encoding")
    if len(request.body) > bytes_max:
        raise Problem(413, f"the body has {len(request.body)} bytes, at most {bytes_max}", field="body")
    return bytes(request.body)


def no_body(request: Request, bytes_max: int) -> None:
    """An action without arguments: nothing, or an empty JSON object. Raises Problem 413 or 415, NoJson, BadField."""
    if request.body:
        decode_body(NoMembers, json_body(request, bytes_max))
        return
    kind, _ = _media_type(request)
    if kind in FORM_TYPES:
        raise Problem(
            415,
            f"this action takes no {kind}: send no body, or {{}} as {JSON}",
            field="Content-Type",
        )


def delivery_id(text: str) -> str:
    """Raises NoSuchPath (404) for a text that no delivery can be named by."""
    return _named(DeliveryId, text, "delivery_id", "delivery")


def drone_id(text: str) -> str:
    """Raises NoSuchPath (404) for a text that no drone can be named by."""
    return _named(DroneId, text, "drone_id", "drone")


def header(request: Request, wanted: Header) -> str | None:
    """The header's one value, or None. Raises BadParameter (400) for one that is not what the API documents."""
    return header_value(wanted, [str(line) for line in request.headers.getall(wanted.name, [])])


def expected(request: Request) -> Tags | None:
    """The tags of which If-Match wants one to be the record's; None: any record will do. Raises Problem 400."""
    match = header(request, IF_MATCH)
    if match is None:
        return None
    try:
        tags = parse_tags(match if '"' in match or match.strip() == "*" else f'"{match.strip()}"')
    except ValueError as exc:
        raise Problem(400, str(exc), field="If-Match") from exc
    return None if tags.any else tags


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has the representation `etag` already: 304. A header that is none of tags names nothing."""
    try:
        return if_none_match is not None and parse_tags(if_none_match).names(etag)
    except ValueError:
        return False


def arguments(request: Request) -> dict[str, list[str]]:
    """The query's parameters, empty values included."""
    if not request.query_string:
        return {}
    return {
        str(name): [str(value) for value in values]
        for name, values in request.get_args(keep_blank_values=True).items()
    }


def _named(kind: Any, text: str, field: str, what: str) -> str:
    if errors := field_errors(kind, text):
        raise NoSuchPath(field, f"no {what} {text[:40]!r}: it {errors[0].detail}")
    return text


def _media_type(request: Request) -> tuple[str, dict[str, str]]:
    """Content-Type as (type, parameters), in small letters. Raises Problem 415 when there are several."""
    lines = request.headers.getall("content-type", [])
    if len(lines) > 1:
        raise Problem(415, "several Content-Type headers", field="Content-Type")
    kind, *pieces = str(lines[0] if lines else "").lower().split(";")
    pairs = (piece.partition("=") for piece in pieces)
    return kind.strip(), {name.strip(): value.strip().strip('"') for name, _, value in pairs}
