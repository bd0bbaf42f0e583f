"""Structured logs: one JSON object a line on standard output, with the request id of whoever caused it.

No request fails or waits for its line ([log_output](log_output.py)).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TextIO, cast

import msgspec
import structlog
from ulid import ULID

from dronedispatch.runtime.log_output import LogOutput

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
STDOUT = 1
_encoder = msgspec.json.Encoder(enc_hook=str)


def _to_json(_logger: object, _name: str, event: structlog.typing.EventDict) -> str:
    try:
        return _encoder.encode(event).decode()
    except Exception:  # noqa: BLE001 - half a surrogate pair, a value without words: no reason to fail who tells of it
        return _encoder.encode({name: _described(value) for name, value in event.items()}).decode()


def _described(value: object) -> object:
    """`value` if it can be written as it is, else words for it."""
    try:
        _encoder.encode(value)
    except Exception:  # noqa: BLE001 - see above
        try:
            words = value if isinstance(value, str) else repr(value)
        except Exception:  # noqa: BLE001 - see above
            words = f"a {type(value).__name__} without words"
        return words.encode("utf-8", "backslashreplace").decode()
    return value


def configure(service: str, instance: str, level: str = "info") -> None:
    """Every later line of this process, the libraries' included, is JSON with `service` and `instance`."""
    structlog.contextvars.clear_contextvars()
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="at")
    identify = _identify(service, instance)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        stamp,
        structlog.processors.format_exc_info,
        identify,
    ]

    def lost(lines: int) -> str:
        told: structlog.typing.EventDict = {"event": "log lines lost", "lines": lines, "level": "warning"}
        return _to_json(None, "", identify(None, "", stamp(None, "", told)))

    output = LogOutput(STDOUT, lost)
    structlog.configure(
        processors=[*shared, _to_json],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, output)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _to_json],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(_LEVELS[level], logging.WARNING))


def _identify(
    service: str, instance: str
) -> Callable[[object, str, structlog.typing.EventDict], structlog.typing.EventDict]:
    def add(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service
        event["instance"] = instance
        return event

    return add


def bind_request_id(request_id: str) -> None:
    """Lines of this task, and what it causes in other processes, carry this id."""
    structlog.contextvars.bind_contextvars(request_id=request_id)


def current_request_id() -> str:
    """The id of the request or message that is being served; a fresh one when nothing is."""
    found = structlog.contextvars.get_contextvars().get("request_id")
    return found if isinstance(found, str) else str(ULID())
