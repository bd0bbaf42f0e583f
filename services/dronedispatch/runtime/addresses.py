"""What the environment says of where others are: checked when it is read, so that a wrong word is one sentence."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import SplitResult, urlsplit

CONSUL_PORT: Final = 8500


def host_port(host: str, port: int) -> str:
    """ "host:80", "[::1]:80": as a URL, a Host header and a message write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def consul_address(text: str) -> tuple[str, str, int]:
    """ "http://host:8500", "https://host:8501" or "host:8500" -> (scheme, host, port). Raises ValueError."""
    parts, port = _split(text if "://" in text else f"http://{text}")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
        raise ValueError("expected [http[s]://]host[:port]")
    return parts.scheme, parts.hostname, port or CONSUL_PORT


def check_amqp(text: str) -> None:
    """Raises ValueError for what is no amqp[s]://[user:password@]host[:port][/vhost]."""
    parts, _ = _split(text)
    if parts.scheme not in {"amqp", "amqps"} or not parts.hostname:
        raise ValueError("expected amqp[s]://[user:password@]host[:port][/vhost]")


def check_cacert(text: str) -> None:
    """Raises ValueError for what is no readable file of certificates."""
    try:
        ssl.create_default_context(cafile=text)
    except OSError as exc:
        raise ValueError(f"no file of certificates can be read there ({exc.strerror or exc})") from exc


def _split(text: str) -> tuple[SplitResult, int | None]:
    """Raises ValueError for a port that is none, a bracket that does not close and letters that are in no host's name."""
    parts = urlsplit(text)
    if any(letter.isspace() for letter in text) or parts.port == 0:
        raise ValueError("no host and port can be read from it")
    return parts, parts.port


CHECKS: Mapping[str, Callable[[str], object]] = MappingProxyType(
    {
        "CONSUL_HTTP_ADDR": consul_address,
        "CONSUL_CACERT": check_cacert,
        "AMQP_URL": check_amqp,
        "AMQP_CACERT": check_cacert,
    }
)
"""By variable. Each raises ValueError, whose message follows the variable's name and value."""
