"""What an answer of the store that is no 200 means to its client."""

from __future__ import annotations

from typing import Any

import msgspec

from dronedispatch.kv.errors import KVError, LockHeld, OutcomeUnknown, Refused, Unauthorized, Unavailable
from dronedispatch.runtime.http.collector import HttpResponse


def _document(response: HttpResponse) -> dict[str, Any]:
    try:
        return msgspec.json.decode(response.body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def detail_of(response: HttpResponse) -> str:
    """The problem document's reason."""
    return str(_document(response).get("detail", f"status {response.status}"))


def failure_of(response: HttpResponse) -> KVError:
    """The error that the answer says; what is not known to be definite is unknown."""
    detail = detail_of(response)
    match response.status:
        case 401:
            return Unauthorized(detail)
        case 409 if _document(response).get("reason") == "lock_held":
            document = _document(response)
            return LockHeld(str(document.get("name", "")), document.get("owner"))
        case 503 | 507:
            return Unavailable(detail, status=response.status)
        case 400 | 404 | 405 | 413 | 414:
            return Refused(response.status, detail)
        case _:
            return OutcomeUnknown(f"{response.status}: {detail}")
