"""The stored timestamps, read through the public API as anybody may."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request
from datetime import datetime
from http.client import HTTPException
from typing import Any

from dronedispatch.runtime.home import trusting

TIMEOUT_S = 30.0
CERTIFICATE = "DD_DOOR_CERTIFICATE"
"""In the environment: what the door of a home of this machine shows, by which it is known."""


class NoAnswer(Exception):
    """The system did not answer; the message says what was asked."""


def get(host: str, path: str) -> Any:
    """Raises NoAnswer."""
    url = host.rstrip("/") + path
    try:
        with direct(os.environ.get(CERTIFICATE)).open(url, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except (OSError, HTTPException, ValueError) as exc:
        raise NoAnswer(f"GET {url}: {_why(exc)}") from exc


def date(host: str) -> str:
    """The server's `Date`, as it answers. Raises NoAnswer."""
    url = host.rstrip("/") + "/health"
    try:
        with direct(os.environ.get(CERTIFICATE)).open(
            urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT_S
        ) as answer:
            found = answer.headers.get("date")
    except urllib.error.HTTPError as exc:  # a refusal carries a date as well
        found = exc.headers.get("date")
    except (OSError, HTTPException, ValueError) as exc:
        raise NoAnswer(f"HEAD {url}: {_why(exc)}") from exc
    if found is None:
        raise NoAnswer(f"HEAD {url}: the answer has no Date header")
    return str(found)


def direct(certificate: str | None = None) -> urllib.request.OpenerDirector:
    """Asks by no proxy of this machine's; `certificate`: the PEM file by which the other side is known."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if certificate:
        handlers.append(urllib.request.HTTPSHandler(context=trusting(certificate)))
    return urllib.request.build_opener(*handlers)


def _why(error: Exception) -> str:
    unknown = isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError)
    return f"{error}: set SSL_CERT_FILE to its authority" if unknown else str(error)


def speed(host: str) -> float:
    """Simulated seconds per second. Raises NoAnswer."""
    return float(get(host, "/figures")["speed"])


def since(host: str, began: datetime) -> list[dict[str, Any]]:
    """Every delivery created at or after `began`, page by page from the newest. Raises NoAnswer."""
    found: list[dict[str, Any]] = []
    query = "limit=500"
    while True:
        page = get(host, f"/deliveries?{query}")
        for delivery in page["deliveries"]:
            if datetime.fromisoformat(delivery["created_at"]) < began:
                return found
            found.append(delivery)
        if page["next"] is None:
            return found
        query = f"limit=500&after={page['next']}"
