"""The request headers that the API documents: what each may hold, and which are never refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from dronedispatch.gateway.core.contract import field_errors, printable
from dronedispatch.gateway.core.fields import IdempotencyKey
from dronedispatch.gateway.core.refusal import BadParameter, FieldError


@dataclass(frozen=True, slots=True)
class Header:
    """`kind`: its value. `advisory`: what is not understood is passed over. `is_list`: several lines are one list."""

    name: str
    kind: Any
    advisory: bool = False
    is_list: bool = False


_ENTITY_TAGS = r'^[ \t,]*(\*|(W/)?"[^"\s]*"([ \t]*,[ \t,]*(W/)?"[^"\s]*")*|[0-9]+(\.[0-9]+)?)[ \t,]*$'

IDEMPOTENCY_KEY = Header("Idempotency-Key", IdempotencyKey)
IF_MATCH = Header(
    "If-Match",
    Annotated[
        str,
        Meta(
            pattern=_ENTITY_TAGS,
            description="The ETag that was read, several with commas between, or *. A weak one (W/) never matches.",
            extra={"expects": '* or entity tags in double quotes, such as "7.12"'},
        ),
    ],
    is_list=True,
)
IF_NONE_MATCH = Header(
    "If-None-Match",
    Annotated[str, Meta(description="304 if one of these ETags is still the present one")],
    advisory=True,
    is_list=True,
)
LAST_EVENT_ID = Header(
    "Last-Event-ID",
    Annotated[
        str,
        Meta(
            description="The id of the last event seen: go on after it. An id that is not known is answered by `reset`"
        ),
    ],
    advisory=True,
)
X_REQUEST_ID = Header(
    "X-Request-ID",
    Annotated[
        str,
        Meta(
            description="Stands in the answer and in the logs of every service. One that is not 1 to 64 letters, digits, "
            "dots, colons, dashes and underscores is replaced by a new one"
        ),
    ],
    advisory=True,
)
TRACEPARENT = Header(
    "traceparent", Annotated[str, Meta(description="W3C Trace Context; nothing is made of it")], advisory=True
)


def header_value(header: Header, lines: Sequence[str]) -> str | None:
    """The one value of a header that came in `lines`; None: it did not come. Raises BadParameter unless it is advisory."""
    if not lines:
        return None
    if len(lines) > 1 and not header.is_list:
        if header.advisory:
            return lines[0]
        raise BadParameter(header.name, "is given more than once")
    value = ", ".join(line.strip() for line in lines)
    if not header.advisory and printable(value) != value:
        raise BadParameter(header.name, "holds bytes that are no UTF-8")
    if not header.advisory and (errors := field_errors(header.kind, value)):
        raise BadParameter.of([FieldError(header.name, error.detail) for error in errors])
    return value
