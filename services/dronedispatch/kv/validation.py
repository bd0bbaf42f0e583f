"""What the store refuses before anything is done: 400, 413 and 414, each with its reason. Pure."""

from __future__ import annotations

from dronedispatch.kv.client import Cas, Op, Put
from dronedispatch.kv.errors import Refused
from dronedispatch.kv.record import KEY_BYTES_MAX, VALUE_BYTES_MAX, WRITE_ID_BYTES, why_no_key, why_no_tags


def check_key(key: str) -> None:
    """Raises Refused 400 or 414 when `key` cannot be one."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise Refused(400, f"the key is no Unicode text: {error.reason}") from error
    if size > KEY_BYTES_MAX:
        raise Refused(414, f"the key has {size} bytes, at most {KEY_BYTES_MAX}")
    if (reason := why_no_key(key)) is not None:
        raise Refused(400, reason)


def check_op(op: Op) -> None:
    """Raises Refused when `op` breaks a limit."""
    check_key(op.key)
    if not isinstance(op, Put | Cas):
        return
    if len(op.value) > VALUE_BYTES_MAX:
        raise Refused(413, f"the value has {len(op.value)} bytes, at most {VALUE_BYTES_MAX}")
    if op.tags and (reason := why_no_tags(op.tags)) is not None:
        raise Refused(400, reason)
    if op.write_id is not None and len(op.write_id) != WRITE_ID_BYTES:
        raise Refused(400, f"a write id has {WRITE_ID_BYTES} bytes, not {len(op.write_id)}")


def refusal(op: Op) -> Refused | None:
    """The Refused that check_op would raise, as a value."""
    try:
        check_op(op)
    except Refused as error:
        return error
    return None
