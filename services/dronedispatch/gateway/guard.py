"""What a request must be before any handler sees it: for this host, and not another site's."""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import Any

from sanic import Request, Sanic

from dronedispatch.gateway.core.origin import HostNames, why_cross_site
from dronedispatch.gateway.core.problem_types import BY_NAME
from dronedispatch.gateway.settings import Settings
from dronedispatch.runtime.problems import Problem


def host_names(settings: Settings) -> HostNames:
    """What this door was told that its names are, and the machine's own name."""
    told = [*settings.host_names.split(","), settings.process.advertise or settings.process.host]
    return HostNames([*told, socket.gethostname()])


def add_guard(app: Sanic[Any, Any], names: HostNames) -> None:
    """Refuses with Problem 421 or 403."""
    why_not = lru_cache(maxsize=256)(names.why_not)

    @app.on_request
    async def guard(request: Request) -> None:
        host = request.headers.get("host", "")
        if (reason := why_not(host)) is not None:
            raise Problem(421, reason, field="Host")
        origin, fetch_site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        if (reason := why_cross_site(request.method, host, origin, fetch_site)) is not None:
            raise Problem(403, reason, type_uri=BY_NAME["cross-site"].uri)
