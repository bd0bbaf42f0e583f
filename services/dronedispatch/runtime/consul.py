"""Consul through python-consul, made asynchronous.

python-consul's base class is made to be given another HTTP client; its own `consul.aio` needs `asyncio.coroutine`, which
Python 3.11 no longer has. The adapter runs on python-consul 1.1 and on py-consul 1.8 (the maintained fork with the same
import name): `connect` is the former's hook, `http_connect` the latter's, and errors and callbacks have moved.

An error is sorted by what it means: ConsulUnavailable (a read failed, or a write certainly did not happen), ConsulUnknown
(a write that may have happened), ConsulRefused (Consul said no: wrong request, missing right).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from consul import base

from dronedispatch.runtime.addresses import consul_address, host_port
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import HttpError, RequestNotSent

try:  # py-consul
    from consul import exceptions as errors
    from consul.callback import CB

    boolean = CB.boolean
except ImportError:  # python-consul
    CB = base.CB
    errors, boolean = base, CB.bool

T = TypeVar("T")

BLOCKING_WAIT_S = (
    8.0  # a Consul that stands still is noticed by what does not come: no longer than `consul_away` may wait
)
ANSWER_MAX_S = BLOCKING_WAIT_S * 17 / 16 + 1.0  # Consul adds up to a sixteenth
CALL_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 3.0
IDLE_S = 15.0
CONNECTIONS_MAX = 1024
"""A blocking query holds its connection: with few, a watch would starve a write."""
RESET_PAUSE_S = 0.5
"""Before a query that begins anew because the index went back: it is answered at once, and might go back again."""


class ConsulError(Exception):
    """Any failure of a call to Consul."""


class ConsulUnavailable(ConsulError):
    """Definite: nothing was written. Consul does not answer, or has no leader."""


class ConsulUnknown(ConsulError):
    """A write was sent and no clear answer came: it may have happened. Read again and compare."""


class ConsulRefused(ConsulError):
    """Definite: Consul understood and said no (wrong request, missing right)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One passing instance of a service."""

    id: str
    address: str
    port: int
    meta: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceRegistration:
    """What the catalogue says of one process, checked by HTTP on `check_path` (or by TCP when that is None)."""

    id: str
    name: str
    address: str
    port: int
    meta: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    check_path: str | None = "/health"
    check_port: int | None = None  # when the health answer comes from another port
    check_interval_s: float = 1.0
    check_timeout_s: float = 3.0
    deregister_critical_after: str = "5m"  # Consul's minimum is one minute

    def document(self) -> dict[str, object]:
        """The body of PUT /v1/agent/service/register."""
        port = self.check_port or self.port
        check: dict[str, object] = {
            "Interval": f"{int(self.check_interval_s * 1000)}ms",
            "Timeout": f"{int(self.check_timeout_s * 1000)}ms",
            "DeregisterCriticalServiceAfter": self.deregister_critical_after,
        }
        if self.check_path is None:
            check["TCP"] = host_port(self.address, port)
        else:
            check["HTTP"] = f"http://{host_port(self.address, port)}{self.check_path}"
        return {
            "ID": self.id,
            "Name": self.name,
            "Address": self.address,
            "Port": self.port,
            "Meta": dict(self.meta),
            "Tags": list(self.tags),
            "Check": check,
        }


def next_index(asked: int, answered: int) -> int:
    """The index of the next blocking query. 0 (ask without waiting, after RESET_PAUSE_S): Consul's has gone back.

    A Consul that was restored counts from where its snapshot stood, and one that answers 0 does not block at all.
    """
    return answered if answered >= max(asked, 1) else 0


class _AsyncHTTP(base.HTTPClient):  # type: ignore[misc]
    """python-consul's transport on runtime/http; every method returns an awaitable.

    A read whose kept connection turns out to be closed is sent again. A write never is: the first copy may have been
    applied, and a compare-and-set that is applied twice says "no" of what it has done.
    """

    def __init__(self, host: str, port: int, scheme: str, tls: ssl.SSLContext | None) -> None:
        super().__init__(host, port, scheme)
        # python-consul leaves it out of agent and session calls, which ACLs then deny.
        self.token: str | None = None
        self._tls = tls
        self._reads, self._writes = self._client(resend=True), self._client(resend=False)

    def _client(self, *, resend: bool) -> HttpClient:
        return HttpClient(
            connect_timeout_s=CONNECT_TIMEOUT_S,
            idle_timeout_s=IDLE_S,
            connections_max=CONNECTIONS_MAX,
            resend_on_reuse_reset=resend,
            tls=self._tls,
        )

    async def _call(
        self, method: str, callback: Callable[[Any], T], path: str, params: Any, data: Any = None
    ) -> T:
        pairs = list(params.items() if isinstance(params, dict) else params or [])
        token = next((value for name, value in pairs if name == "token"), self.token)
        wait_s = next((float(str(value).rstrip("s")) for name, value in pairs if name == "wait"), 0.0)
        uri = self.uri(path, [(name, value) for name, value in pairs if name != "token"])
        answer = await (self._reads if method == "GET" else self._writes).request(
            method,
            self.host,
            self.port,
            uri.removeprefix(self.base_uri),
            headers=[("X-Consul-Token", str(token))] if token else [],
            body=data.encode() if isinstance(data, str) else data or b"",
            timeout_s=CALL_TIMEOUT_S + wait_s * 17 / 16,
        )
        headers = {name.title(): value for name, value in answer.headers.items()}  # X-Consul-Index
        return callback(base.Response(answer.status, headers, answer.body.decode()))

    def get(self, callback: Any, path: str, params: Any = None, **_: Any) -> Any:
        return self._call("GET", callback, path, params)

    def put(self, callback: Any, path: str, params: Any = None, data: Any = "", **_: Any) -> Any:
        return self._call("PUT", callback, path, params, data)

    def delete(self, callback: Any, path: str, params: Any = None, **_: Any) -> Any:
        return self._call("DELETE", callback, path, params)

    def post(self, callback: Any, path: str, params: Any = None, data: Any = "", **_: Any) -> Any:
        return self._call("POST", callback, path, params, data)

    async def close(self) -> None:
        await self._reads.close()
        await self._writes.close()


class _AsyncConsul(base.Consul):  # type: ignore[misc]
    def connect(self, host: str, port: int, scheme: str, verify: Any = None, cert: Any = None) -> _AsyncHTTP:
        # py-consul makes True of None.
        return _AsyncHTTP(host, port, scheme, verify if isinstance(verify, ssl.SSLContext) else None)

    http_connect = connect


@contextmanager
def _without_consul_variables() -> Iterator[None]:
    """python-consul reads the environment behind our back and rejects an address with a scheme."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("CONSUL_")}
    try:
        yield
    finally:
        os.environ.update(kept)


class ConsulClient:
    """The calls that we make, each with a time limit and a sorted error."""

    def __init__(self, address: str, *, token: str | None = None, cacert: str | None = None) -> None:
        scheme, host, port = consul_address(address)
        self.address = f"{scheme}://{host_port(host, port)}"
        tls = ssl.create_default_context(cafile=cacert) if scheme == "https" else None
        with _without_consul_variables():
            self._consul = _AsyncConsul(host=host, port=port, token=token, scheme=scheme, verify=tls)
        self._consul.http.token = token

    async def close(self) -> None:
        """Close the connections."""
        await self._consul.http.close()

    async def _read(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except (errors.ACLPermissionDenied, errors.ACLDisabled, errors.BadRequest) as exc:
            raise ConsulRefused(str(exc)) from exc
        except (errors.ConsulException, HttpError, ValueError, KeyError) as exc:
            raise ConsulUnavailable(repr(exc)) from exc

    async def _write(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except (errors.ACLPermissionDenied, errors.ACLDisabled, errors.BadRequest, errors.ClientError) as exc:
            raise ConsulRefused(str(exc)) from exc
        except RequestNotSent as exc:
            raise ConsulUnavailable(repr(exc)) from exc
        except (errors.ConsulException, HttpError, ValueError, KeyError) as exc:
            raise ConsulUnknown(repr(exc)) from exc

    # -- key/value ---------------------------------------------------------------------------------------------

    async def kv_get(
        self, key: str, *, index: int = 0, wait_s: float = BLOCKING_WAIT_S, consistent: bool = False
    ) -> tuple[int, bytes | None, int]:
        """(index, value, modify_index); value None and modify_index 0: absent. With `index` it waits for a change."""
        found, entry = await self.kv_entry(key, index=index, wait_s=wait_s, consistent=consistent)
        if entry is None:
            return found, None, 0
        return found, entry.get("Value") or b"", int(entry["ModifyIndex"])

    async def kv_entry(
        self, key: str, *, index: int = 0, wait_s: float = BLOCKING_WAIT_S, consistent: bool = False
    ) -> tuple[int, dict[str, Any] | None]:
        """(index, Consul's whole entry or None): with Session and LockIndex, for locks."""
        found, entry = await self._read(
            self._consul.kv.get(
                key,
                index=index or None,
                wait=f"{wait_s:g}s" if index else None,
                consistency="consistent" if consistent else None,
            )
        )
        return int(found), entry

    async def kv_put(self, key: str, value: bytes, *, cas: int | None = None) -> bool:
        """Write; with `cas` only if the ModifyIndex is that one (0: absent). Whether it was written."""
        return bool(await self._write(self._consul.kv.put(key, value, cas=cas)))

    async def kv_acquire(self, key: str, value: bytes, session: str) -> bool:
        """Take the lock `key` for `session`; whether it is ours."""
        return bool(await self._write(self._consul.kv.put(key, value, acquire=session)))

    async def kv_release(self, key: str, session: str) -> bool:
        """Give the lock back."""
        return bool(await self._write(self._consul.kv.put(key, b"", release=session)))

    # -- sessions ----------------------------------------------------------------------------------------------

    async def session_create(self, name: str, checks: Sequence[str], lock_delay_s: int) -> str:
        """A session that ends when one of `checks` (of this agent) turns critical."""
        return str(
            await self._write(
                self._consul.session.create(name=name, checks=list(checks), lock_delay=lock_delay_s)
            )
        )

    async def session_destroy(self, session: str) -> None:
        """End it now; its locks are released."""
        await self._write(self._consul.session.destroy(session))

    # -- the agent and the catalogue ---------------------------------------------------------------------------

    async def register(self, registration: ServiceRegistration) -> None:
        """Write the entry with its check (a raw PUT: python-consul knows no Meta)."""
        await self._agent_put("/v1/agent/service/register", registration.document())

    async def register_check(self, document: Mapping[str, object]) -> None:
        """Add one check, usually bound to a service by ServiceID."""
        await self._agent_put("/v1/agent/check/register", document)

    async def deregister_check(self, check_id: str) -> None:
        """Remove one check of this agent, which ends every session that hangs on it; one that is not there is no error."""
        if check_id in await self._read(self._consul.agent.checks()):
            await self._write(self._consul.agent.check.deregister(check_id))

    async def _agent_put(self, path: str, document: Mapping[str, object]) -> None:
        await self._write(
            self._consul.http.put(
                boolean(),
                path,
                [("token", self._consul.token)] if self._consul.token else [],
                data=msgspec.json.encode(document),
            )
        )

    async def deregister(self, service_id: str) -> None:
        """Leave the catalogue."""
        await self._write(self._consul.agent.service.deregister(service_id))

    async def agent_services(self) -> dict[str, dict[str, Any]]:
        """What this agent has registered, by service id."""
        return dict(await self._read(self._consul.agent.services()))

    async def health(
        self,
        service: str,
        *,
        index: int = 0,
        wait_s: float = BLOCKING_WAIT_S,
        passing: bool = True,
        consistent: bool = False,
    ) -> tuple[int, tuple[Endpoint, ...]]:
        """(index, the instances of `service`, sorted by id). With `index` it waits for a change.

        `consistent`: an error, not what once was, of a Consul that is still reading its log after a start.
        """
        asked = {"index": index, "wait": f"{wait_s:g}s"} if index else {}
        flags = {name: "1" for name, wanted in (("passing", passing), ("consistent", consistent)) if wanted}
        # python-consul's own call has no word for `consistent`.
        found, entries = await self._read(
            self._consul.http.get(
                CB.json(index=True), f"/v1/health/service/{service}", list({**asked, **flags}.items())
            )
        )
        return int(found), tuple(sorted(map(_endpoint, entries or ()), key=lambda endpoint: endpoint.id))


def _endpoint(entry: Mapping[str, Any]) -> Endpoint:
    service = entry["Service"]
    return Endpoint(
        id=service["ID"],
        address=service.get("Address") or entry["Node"]["Address"],
        port=int(service["Port"]),
        meta=service.get("Meta") or {},
        tags=tuple(service.get("Tags") or ()),
    )
