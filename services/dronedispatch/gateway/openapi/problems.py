"""The problem document, and one example of each kind."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dronedispatch.gateway.core.problem_types import PROBLEM_TYPES, ProblemType
from dronedispatch.gateway.core.refusal import FieldError


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True):
    """An error (RFC 9457). Programs look at `type`, or at `status`; people read `detail`."""

    type: Annotated[
        str,
        Meta(
            description="Which kind; the page of this address explains it",
            extra_json_schema={"format": "uri-reference"},
        ),
    ]
    title: str
    status: int
    detail: Annotated[str, Meta(description="What is wrong, in one sentence")]
    field: (
        Annotated[
            str,
            Meta(
                description="The member, parameter or header that is wrong; the first, if there are several"
            ),
        ]
        | UnsetType
    ) = UNSET
    errors: Annotated[list[FieldError], Meta(description="All that is wrong")] | UnsetType = UNSET
    status_now: Annotated[str, Meta(description="Of a 409: where the delivery is")] | UnsetType = UNSET
    instance: str | UnsetType = UNSET
    request_id: (
        Annotated[str, Meta(description="Also in the logs of every service that the request passed")]
        | UnsetType
    ) = UNSET


_SAID: dict[str, tuple[str | None, str]] = {
    "invalid-parameter": ("limit", "expected a whole number from 1 to 500, got 0"),
    "malformed-body": ("body", "the body is not JSON: NaN is no JSON number"),
    "unauthorized": (None, "the operator token is missing"),
    "cross-site": (None, "a page of another site may not send this (Sec-Fetch-Site: cross-site)"),
    "wants-tls": (None, "signing in from another machine wants TLS"),
    "not-found": ("delivery_id", "no delivery 01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    "not-acceptable": ("Accept", "none of application/json, text/csv, application/x-ndjson is accepted"),
    "conflict": (None, "delivery 01ARZ3NDEKTSV4RRFFQ69G5FAV: no move from in-progress to cancelled"),
    "changed-since": ("If-Match", "the zones have changed since you read them"),
    "body-too-large": ("body", "the body has 20121 bytes, at most 16384"),
    "unsupported-media-type": ("Content-Type", "the body must be application/json, not 'text/plain'"),
    "misdirected": (
        "Host",
        "this door is not shop.example: the names that it answers to stand in GATEWAY_HOST_NAMES",
    ),
    "invalid-body": ("weight", "is 10.5 kg, and no drone carries more than 10 kg"),
    "idempotency-key-reused": (
        "Idempotency-Key",
        "the Idempotency-Key was used at 2026-01-31T08:30:00.000Z for delivery 01ARZ3NDEKTSV4RRFFQ69G5FAV "
        "with another body",
    ),
    "internal-error": (None, "an unexpected error, logged with this request id"),
    "unavailable": (None, "nothing was stored: no coordinator answers"),
    "outcome-unknown": (
        None,
        "the store cannot say whether this was stored; with an Idempotency-Key, ask again with the same one",
    ),
}


_OF_THE_DOOR = {
    429: "too many requests",
    502: "gateway: the connection was lost",
    503: "no healthy gateway",
    504: "the gateway did not answer in time",
}


def door_example(status: int) -> dict[str, Any]:
    """What the load balancer says itself: 429, 502, 503 or 504, without a type of its own."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _OF_THE_DOOR[status],
        "request_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    }


def example(kind: ProblemType) -> dict[str, Any]:
    """One document of this kind."""
    field, detail = _SAID.get(kind.name, (None, kind.meaning))
    errors: Any = UNSET
    if kind.name in {"invalid-parameter", "malformed-body", "invalid-body"}:
        assert field is not None
        errors = [FieldError(field, detail)]
        if kind.name == "invalid-body":
            errors.append(FieldError("destination", "is outside the city Rome"))
            detail = f"{detail}; and 1 more, see errors"
        if kind.name != "malformed-body":
            detail = f"{field}: {detail}"
    document = ProblemDocument(
        type=kind.uri,
        title=kind.title,
        status=kind.status,
        detail=detail,
        field=UNSET if field is None else field,
        errors=errors,
        status_now="in-progress" if kind.name == "conflict" else UNSET,
        instance="/deliveries",
        request_id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
    )
    found = msgspec.to_builtins(document)
    assert isinstance(found, dict)
    return found


def examples(status: int) -> dict[str, Any]:
    """Of every kind with this status, by name."""
    return {kind.name: {"value": example(kind)} for kind in PROBLEM_TYPES if kind.status == status}
