"""The fields that bodies, queries, headers and paths are made of, each with its bounds: stated here and nowhere else."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

from dronedispatch.fleet.documents import stamp, unstamp
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG

PRIORITY_MAX = 9
WEIGHT_MAX_KG = max(PAYLOAD_MAX_KG.values())
ULID_PATTERN = "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"
ULID_PREFIX_PATTERN = "^[0-7][0-9A-HJKMNP-TV-Z]{0,25}$"
DRONE_ID_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,55}$"  # with "drone=" it is a tag of at most 64 bytes
KEY_LENGTH_MAX = 255
KEY_PATTERN = "^[!-~]+$"
MOMENT_PATTERN = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
_MOMENT = re.compile(MOMENT_PATTERN)


def moment(text: str) -> str:
    """A Moment as our own stamp in UTC."""
    return stamp(unstamp(text.upper()))


def why_no_moment(text: str) -> str | None:
    """The reason why `text` is no time that our stamps can say; None: it is one."""
    refusal = "is not an RFC 3339 time with a zone, such as 2026-01-31T08:30:00Z"
    if _MOMENT.fullmatch(text) is None:
        return refusal
    try:
        moment(text)
    except (ValueError, OverflowError):
        return refusal
    return None


Latitude = Annotated[float, Meta(ge=-90, le=90, extra={"unit": "degrees"})]
Longitude = Annotated[float, Meta(ge=-180, le=180, extra={"unit": "degrees"})]
Weight = Annotated[
    float,
    Meta(
        gt=0,
        le=WEIGHT_MAX_KG,
        description="Kilograms; at most what the strongest drone carries",
        extra={"unit": "kg", "above": f"no drone carries more than {WEIGHT_MAX_KG:g} kg"},
    ),
]
Priority = Annotated[int, Meta(ge=0, le=PRIORITY_MAX, description="0 is normal, 9 the most urgent")]
Moment = Annotated[
    str,
    Meta(
        pattern=MOMENT_PATTERN,
        description="RFC 3339, with a zone",
        extra_json_schema={"format": "date-time"},
        extra={
            "expects": "an RFC 3339 time with a zone, such as 2026-01-31T08:30:00Z",
            "check": why_no_moment,
        },
    ),
]
DeliveryId = Annotated[
    str, Meta(pattern=ULID_PATTERN, description="ULID", extra={"expects": "a ULID of 26 characters"})
]
DroneId = Annotated[
    str,
    Meta(
        pattern=DRONE_ID_PATTERN,
        description="Letters, digits, dot, dash and underscore; at most 56",
        extra={"expects": "the id of a drone"},
    ),
]
IdempotencyKey = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=KEY_LENGTH_MAX,
        pattern=KEY_PATTERN,
        description="The same key with the same body gets the same answer for 24 h; with another body 422",
        extra={"expects": "visible ASCII characters without spaces"},
    ),
]
