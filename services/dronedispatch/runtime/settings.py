"""Typed settings, read once from a passed-in environment and checked at birth.

A field `drain_s: float = 10.0` of a dataclass loaded with the prefix "GATEWAY" is read from GATEWAY_DRAIN_S. A nested
dataclass reads with the same prefix. `field(metadata={"env": "CONSUL_HTTP_ADDR"})` names a variable that is shared by
every service. A `Secret` is read from the file that `<NAME>_FILE` names, and from nowhere
else: one a line, the first is shown to others and each of them is accepted. The one exception is marked `handed`: a
workload identity's Consul token, which Nomad hands over in CONSUL_HTTP_TOKEN itself.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar

from dronedispatch.runtime.addresses import CHECKS

T = TypeVar("T")


class SettingsError(ValueError):
    """A variable of the environment is missing, wrong or unknown; the message names it."""


@dataclasses.dataclass(frozen=True, repr=False, slots=True)
class Secret:
    """A secret that does not print itself.

    `value` is the one that we show; `also` are others that we accept, so that a token can be rotated one process at a time.
    """

    value: str
    also: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Secret(***)"


def _secret(variable: str, path: str) -> Secret:
    try:
        first, *others = Path(path).read_text(encoding="utf-8").split() or [""]
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{variable}={path}: {exc}") from exc
    if not first:
        raise SettingsError(f"{variable}={path}: the file is empty")
    return Secret(first, tuple(others))


def _boolean(variable: str, text: str) -> bool:
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off"}:
        return False
    raise SettingsError(f"{variable}={text!r}: expected true or false")


def _one_of(variable: str, text: str, known: tuple[Any, ...]) -> Any:
    for value in known:
        if str(value) == text:
            return value
    raise SettingsError(f"{variable}={text!r}: expected one of {', '.join(str(value) for value in known)}")


def _parse(kind: Any, variable: str, text: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in {typing.Union, types.UnionType}:
        (kind,) = (one for one in typing.get_args(kind) if one is not type(None))
        return _parse(kind, variable, text)
    if origin is Literal:
        return _one_of(variable, text, typing.get_args(kind))
    if kind is bool:
        return _boolean(variable, text)
    if kind is Secret:
        return _secret(variable, text)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(_one_of(variable, text, tuple(member.value for member in kind)))
    try:
        return kind(text)
    except (ValueError, TypeError) as exc:
        raise SettingsError(f"{variable}={text!r}: expected {getattr(kind, '__name__', kind)}") from exc


def _checked(variable: str, value: Any) -> Any:
    """An address that cannot be one is refused here, by its variable's name, and not where it is used."""
    check = CHECKS.get(variable)
    if check is not None:
        try:
            check(str(value))
        except ValueError as exc:
            raise SettingsError(f"{variable}={_without_password(str(value))!r}: {exc}") from exc
    return value


def _without_password(text: str) -> str:
    """An error's text is logged: what stands before an @ stays out of it."""
    scheme, colons, rest = text.rpartition("://")
    return f"{scheme}{colons}***@{rest.rpartition('@')[2]}" if "@" in rest else text


def _is_secret(kind: Any) -> bool:
    return kind is Secret or Secret in typing.get_args(kind)


def variables(cls: type[Any], prefix: str) -> dict[str, dataclasses.Field[Any]]:
    """Every variable that `load(cls, prefix, ...)` reads, with its field."""
    hints = typing.get_type_hints(cls)
    found: dict[str, dataclasses.Field[Any]] = {}
    for field in dataclasses.fields(cls):
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind) and kind is not Secret:
            found |= variables(typing.cast("type[Any]", kind), prefix)
            continue
        found[_variable(field, kind, prefix)] = field
    return found


def _variable(field: dataclasses.Field[Any], kind: Any, prefix: str) -> str:
    name = field.metadata.get("env") or f"{prefix}_{field.name.upper()}"
    return f"{name}_FILE" if _is_secret(kind) and not name.endswith("_FILE") else name


def load(cls: type[T], prefix: str, environ: Mapping[str, str]) -> T:
    """The settings `cls` from `environ`. Raises SettingsError, which names the variable.

    A variable that begins with `prefix` + "_" and is not known is an error: a typing mistake must not become a default.
    """
    known = variables(cls, prefix)
    unknown = sorted(name for name in environ if name.startswith(f"{prefix}_") and name not in known)
    if unknown:
        raise SettingsError(f"{unknown[0]}: no such setting; known: {', '.join(sorted(known))}")
    return _load(cls, prefix, environ)


def _load(cls: type[T], prefix: str, environ: Mapping[str, str]) -> T:
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind) and kind is not Secret:
            values[field.name] = _load(typing.cast("type[Any]", kind), prefix, environ)
            continue
        variable = _variable(field, kind, prefix)
        text = environ.get(variable)
        if text is not None and text != "":
            values[field.name] = _checked(variable, _parse(kind, variable, text))
        elif field.metadata.get("handed") and environ.get(field.metadata["env"]):
            values[field.name] = Secret(environ[field.metadata["env"]].strip())
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise SettingsError(f"{variable} is not set")
    try:
        return cls(**values)
    except SettingsError:
        raise
    except ValueError as exc:
        raise SettingsError(f"{prefix}_*: {exc}") from exc


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessSettings:
    """What every one of our processes is told."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free port
    instance: str | None = None  # default: <service>-<port>
    advertise: str | None = None  # the address that Consul tells the others; default: host
    registration: Literal["auto", "self", "nomad", "off"] = "auto"
    drain_s: float = 10.0  # how long a stop waits for requests in flight
    deregister_lag_s: float = 1.0  # between leaving Consul and closing the door: the watchers' lag
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    body_bytes_max: int = 2 * 1024 * 1024
    consul_addr: str = dataclasses.field(
        default="http://127.0.0.1:8500", metadata={"env": "CONSUL_HTTP_ADDR"}
    )
    consul_token: Secret | None = dataclasses.field(
        default=None, metadata={"env": "CONSUL_HTTP_TOKEN", "handed": True}
    )
    consul_cacert: str | None = dataclasses.field(default=None, metadata={"env": "CONSUL_CACERT"})
    store_token: Secret | None = dataclasses.field(default=None, metadata={"env": "STORE_TOKEN"})
    operator_token: Secret | None = dataclasses.field(default=None, metadata={"env": "OPERATOR_TOKEN"})
    metrics_token: Secret | None = dataclasses.field(default=None, metadata={"env": "METRICS_TOKEN"})
    # What services prove themselves to each other by (runtime/http/proof.py); without it nobody is asked for a proof.
    service_secret: Secret | None = dataclasses.field(default=None, metadata={"env": "SERVICE_SECRET"})
    nomad_alloc_id: str | None = dataclasses.field(default=None, metadata={"env": "NOMAD_ALLOC_ID"})

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port {self.port} is outside 0..65535")
        if self.drain_s < 0 or self.deregister_lag_s < 0:
            raise ValueError("drain_s and deregister_lag_s cannot be negative")
        if self.host in {"0.0.0.0", "::"} and self.advertise is None:
            raise ValueError(f"host {self.host} is no address that others can reach: set advertise too")

    @property
    def registers_itself(self) -> bool:
        """Whether this process writes its own entry in Consul (under Nomad the job's service block does)."""
        if self.registration == "auto":
            return self.nomad_alloc_id is None
        return self.registration == "self"


@dataclasses.dataclass(frozen=True, slots=True)
class AmqpSettings:
    """Where RabbitMQ is: AMQP_URL, or found in Consul as `rabbitmq` and entered with user and password."""

    url: str | None = dataclasses.field(default=None, metadata={"env": "AMQP_URL"})
    user: str = dataclasses.field(default="guest", metadata={"env": "AMQP_USER"})
    password: Secret | None = dataclasses.field(default=None, metadata={"env": "AMQP_PASSWORD"})
    vhost: str = dataclasses.field(default="/", metadata={"env": "AMQP_VHOST"})
    cacert: str | None = dataclasses.field(default=None, metadata={"env": "AMQP_CACERT"})
