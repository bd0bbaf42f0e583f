"""The store's HTTP face: statuses, headers and bodies, as a person with curl meets them; on the memory twin."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator

import msgspec
import pytest

from dronedispatch.kv.client import Op, Page
from dronedispatch.kv.errors import KVError, OutcomeUnknown, Unavailable
from dronedispatch.kv.http import server as http_server
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.collector import HttpResponse
from dronedispatch.runtime.settings import ProcessSettings, Secret
from dronedispatch.runtime.web import create_web
from dronedispatch.testing.kv import MemoryKV
from dronedispatch.testing.serving import serving

TOKEN = "only-for-tests"


class Api:
    """Requests to the twin behind HTTP."""

    def __init__(self, http: HttpClient, port: int, twin: MemoryKV) -> None:
        self.http = http
        self.port = port
        self.twin = twin

    async def ask(
        self, method: str, target: str, body: bytes | object = b"", *, token: str = TOKEN, **headers: str
    ) -> HttpResponse:
        sent = [("authorization", f"Bearer {token}")]
        sent += [(name.replace("_", "-"), value) for name, value in headers.items()]
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.http.request(
            method, "127.0.0.1", self.port, target, headers=sent, body=content, timeout_s=5
        )


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    app = create_web("kvfront", ProcessSettings(store_token=Secret(TOKEN)), ready=lambda: None)
    twin = MemoryKV()
    http_server.add_routes(app, lambda: twin)
    http = HttpClient(resend_on_reuse_reset=False)
    async with serving(app) as port:
        yield Api(http, port, twin)
        await http.close()


def document(response: HttpResponse) -> dict[str, object]:
    return msgspec.json.decode(response.body, type=dict[str, object])


async def test_a_put_creates_with_201_and_replaces_with_200_and_the_etag_is_the_version(api: Api) -> None:
    created = await api.ask("PUT", "/kv/k", b"one", x_tags="a=1, b=2")
    replaced = await api.ask("PUT", "/kv/k", b"two")
    assert (created.status, created.headers["etag"]) == (201, '"1.1"')
    assert (replaced.status, replaced.headers["etag"]) == (200, '"1.2"')
    assert document(created) == {"key": "k", "version": "1.1"}


async def test_an_idempotency_key_that_is_no_text_is_refused(api: Api) -> None:
    refused = await api.ask("PUT", "/kv/k", b"one", idempotency_key="caf\xe9")
    assert refused.status == 400
    assert (await api.ask("GET", "/kv/k")).status == 404


async def test_a_get_answers_the_value_its_etag_and_tags_or_404(api: Api) -> None:
    await api.ask("PUT", "/kv/a%2Fb", b"\x00\xff", x_tags="a=1, b=2")
    found = await api.ask("GET", "/kv/a%2Fb")
    assert (found.status, found.body, found.headers["etag"], found.headers["x-tags"]) == (
        200,
        b"\x00\xff",
        '"1.1"',
        "a=1, b=2",
    )
    assert (await api.ask("GET", "/kv/absent")).status == 404


async def test_a_stale_if_match_is_412_with_the_current_version(api: Api) -> None:
    await api.ask("PUT", "/kv/k", b"one")
    stale = await api.ask("PUT", "/kv/k", b"two", if_match='"1.7"')
    assert (stale.status, stale.headers["etag"], document(stale)["version"]) == (412, '"1.1"', "1.1")
    assert (await api.ask("PUT", "/kv/k", b"two", if_match='"1.1"')).status == 200
    assert (await api.ask("DELETE", "/kv/k", if_match='"1.1"')).status == 412
    assert (await api.ask("DELETE", "/kv/k", if_match='"1.2"')).status == 204


async def test_if_none_match_creates_only(api: Api) -> None:
    assert (await api.ask("PUT", "/kv/k", b"one", if_none_match="*")).status == 201
    assert (await api.ask("PUT", "/kv/k", b"two", if_none_match="*")).status == 412
    assert (await api.ask("PUT", "/kv/k", b"two", if_match="0")).status == 412


async def test_an_idempotency_key_makes_a_retry_find_its_write(api: Api) -> None:
    key = "6f2c1a52-3a1f-4b8e-9d0c-0a1b2c3d4e5f"
    first = await api.ask("PUT", "/kv/k", b"one", if_none_match="*", idempotency_key=key)
    again = await api.ask("PUT", "/kv/k", b"one", if_none_match="*", idempotency_key=key)
    assert (again.status, again.headers["etag"]) == (first.status, first.headers["etag"])


async def test_cas_by_version_and_by_old_value_and_its_409_carries_the_record(api: Api) -> None:
    cas = "/kv/cas"
    assert (await api.ask("POST", cas, {"key": "k", "expected": "0", "value": "one"})).status == 200
    conflict = await api.ask("POST", cas, {"key": "k", "expected": "0", "value": "two"})
    assert conflict.status == 409
    said = document(conflict)
    assert (said["reason"], said["version"], said["value"]) == ("cas_mismatch", "1.1", "one")
    assert (await api.ask("POST", cas, {"key": "k", "old": "one", "value": "two"})).status == 200
    assert (await api.ask("POST", cas, {"key": "k", "old": "one", "value": "three"})).status == 409
    assert (await api.ask("POST", cas, {"key": "new", "old": None, "value": "x"})).status == 200
    assert (await api.ask("POST", cas, {"key": "new", "old": None, "value": "x"})).status == 409


async def test_a_batch_of_json_answers_each_operation_with_its_own_status(api: Api) -> None:
    ops = [
        {"op": "put", "key": "a", "value": "one", "tags": ["t=1"]},
        {"op": "get", "key": "a"},
        {"op": "get", "key": "absent"},
        {"op": "cas", "key": "a", "expected": "0", "value_base64": "/wA="},
        {"op": "delete", "key": "a"},
        {"op": "put", "key": "x" * 401, "value": ""},
    ]
    results = document(await api.ask("POST", "/kv/batch", {"ops": ops}))["results"]
    assert isinstance(results, list)
    assert [result["status"] for result in results] == [200, 200, 404, 409, 204, 414]
    assert results[1]["value"] == "one"
    assert results[3]["version"] == "1.1"


async def test_a_scan_of_json_pages_through(api: Api) -> None:
    for name in "abc":
        await api.ask("PUT", f"/kv/{name}", name.encode(), x_tags="t=1")
    first = document(await api.ask("GET", "/kv?tag=t%3D1&limit=2"))
    assert first["next_after"] == "b"
    last = document(await api.ask("GET", "/kv?tag=t%3D1&limit=2&after=b"))
    items = last["items"]
    assert isinstance(items, list)
    assert [item["key"] for item in items] == ["c"]
    assert last["next_after"] is None


async def test_locks_by_json(api: Api) -> None:
    taken = document(await api.ask("POST", "/lock/acquire", {"name": "n", "owner": "me", "ttl_ms": 60000}))
    held = await api.ask("POST", "/lock/acquire", {"name": "n", "owner": "you", "ttl_ms": 60000})
    assert (held.status, document(held)["reason"], document(held)["owner"]) == (409, "lock_held", "me")
    shown = {"name": "n", "owner": "me", "ttl_ms": 60000, "token": taken["token"]}
    assert (await api.ask("POST", "/lock/renew", shown)).status == 200
    assert (await api.ask("POST", "/lock/release", shown)).status == 200
    assert (await api.ask("POST", "/lock/acquire", {"name": "n", "owner": "you", "ttl_ms": 1})).status == 200


@pytest.mark.parametrize(
    ("method", "target", "body", "headers", "status"),
    [
        ("PUT", "/kv/" + "x" * 401, b"", {}, 414),
        ("PUT", "/kv/k", bytes(1024 * 1024 + 1), {}, 413),
        ("PUT", "/kv/%ff", b"", {}, 400),
        ("PUT", "/kv/a%00b", b"", {}, 400),
        ("PUT", "/kv/k", b"", {"if_match": "one"}, 400),
        ("PUT", "/kv/k", b"", {"if_none_match": '"1.1"'}, 400),
        ("PUT", "/kv/k", b"", {"x_fence": "x"}, 400),
        ("PUT", "/kv/k", b"", {"x_tags": "nonsense"}, 400),
        ("PUT", "/kv/k", b"", {"idempotency_key": "x" * 201}, 400),
        ("DELETE", "/kv/k", b"", {"if_none_match": "*"}, 400),
        ("POST", "/kv/k", b"", {}, 405),
        ("POST", "/kv/cas", b"{", {}, 400),
        ("POST", "/kv/cas", b'{"key": "k", "value": "v"}', {}, 400),
        ("POST", "/kv/cas", b'{"key": "k", "value": "v", "expected": "0", "old": "x"}', {}, 400),
        ("POST", "/kv/cas", b'{"key": "k", "value": "v", "expected": "0", "what": 1}', {}, 400),
        ("POST", "/kv/cas", b'{"key": "k", "value_base64": "!", "expected": "0"}', {}, 400),
        ("POST", "/kv/batch", b'{"ops": [{"op": "explode", "key": "k"}]}', {}, 400),
        ("POST", "/kv/batch", b'{"ops": [{"op": "cas", "key": "k", "value": "v"}]}', {}, 400),
        ("POST", "/kv/batch", b"\xc1", {"content_type": "application/msgpack"}, 400),
        ("GET", "/kv?limit=0", b"", {}, 400),
        ("GET", "/kv?limit=1e3", b"", {}, 400),
        ("GET", "/kv?tag=x", b"", {}, 400),
        ("GET", "/kv?reverse=yes", b"", {}, 400),
        ("GET", "/kv?prefixx=a", b"", {}, 400),
        ("POST", "/lock/acquire", b'{"name": "", "owner": "me", "ttl_ms": 1}', {}, 400),
        ("POST", "/lock/acquire", b'{"name": "n", "owner": "me", "ttl_ms": 999999999}', {}, 400),
        ("POST", "/lock/acquire", b'{"name": "n", "owner": "me", "ttl_ms": 0}', {}, 400),
        ("POST", "/lock/acquire", b'{"name": "n", "owner": "me"}', {}, 400),
        ("POST", "/lock/renew", b'{"name": "n", "owner": "me", "token": "1.1"}', {}, 400),
        ("PUT", "/kv/k", b"x", {"if-match": 'W/"1.1"'}, 412),
        ("DELETE", "/kv/k", b"", {"if-match": 'W/"1.1"'}, 412),
        ("PUT", "/kv/k", b"x", {"if-match": '"1.1"', "if-none-match": "*"}, 400),
        ("POST", "/lock/renew", b'{"name": "n", "owner": "me", "ttl_ms": 1}', {}, 400),
        ("POST", "/lock/steal", b'{"name": "n", "owner": "me", "ttl_ms": 1, "token": "1.1"}', {}, 404),
    ],
)
async def test_a_wrong_request_is_refused_and_nothing_is_stored(
    api: Api, method: str, target: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await api.ask(method, target, body, **headers)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert api.twin.records == {}


async def test_a_deeply_nested_document_is_400(api: Api) -> None:
    assert (await api.ask("POST", "/kv/cas", b"[" * 100_000)).status == 400


async def test_more_operations_than_a_batch_may_hold_are_413(api: Api) -> None:
    ops = [{"op": "get", "key": "k"}] * 1_001
    assert (await api.ask("POST", "/kv/batch", {"ops": ops})).status == 413


@pytest.mark.parametrize("target", ["/kv/k", "/kv?limit=1"])
async def test_without_the_right_token_everything_is_401(api: Api, target: str) -> None:
    assert (await api.ask("GET", target, token="wrong")).status == 401
    assert (await api.ask("GET", target, token="")).status == 401


@pytest.mark.parametrize(
    ("error", "status", "header"),
    [
        (Unavailable("no replica", 2.0), 503, ("retry-after", "2")),
        (Unavailable("full", status=507), 507, ("retry-after", "1")),
        (OutcomeUnknown("who knows"), 504, ("x-outcome", "unknown")),
    ],
)
async def test_the_classes_of_failure_are_kept_apart(
    api: Api, error: KVError, status: int, header: tuple[str, str]
) -> None:
    def fail(_op: Op) -> None:
        raise error

    api.twin.before = fail
    answer = await api.ask("PUT", "/kv/k", b"v")
    assert answer.status == status
    assert answer.headers[header[0]] == header[1]


class Slow(MemoryKV):
    """A store whose scans fail, once everybody who asked has gone."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def scan(self, **_: object) -> Page:
        self.asked.set()
        await self.go_on.wait()
        raise Unavailable("nobody answers")


async def test_a_scan_that_fails_after_its_client_has_gone_is_nobodys_traceback() -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    slow = Slow()
    asking = asyncio.create_task(http_server.shielded(slow.scan()))
    await slow.asked.wait()
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    slow.go_on.set()
    for _ in range(5):
        await asyncio.sleep(0)
    gc.collect()
    assert told == []
