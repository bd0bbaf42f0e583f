"""Each parameter and field of a body that the OpenAPI document describes is held to it: breaking values are tried."""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import pytest_asyncio

from dronedispatch.fleet.city import default_city
from dronedispatch.gateway.openapi.components import CHARGE_POINT
from dronedispatch.gateway.openapi.document import document
from support.gateway_client import OPERATOR, ORDER, ULID, Api, served_api

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT = document()
SCHEMAS = DOCUMENT["components"]["schemas"]
ADVISORY = {"X-Request-ID", "traceparent", "Last-Event-ID", "If-None-Match"}
TEXTS = (
    "", " ", "a b", "ä", "x" * 300, "0", "-1", "1.5", "1e3", "99999999999", "null", "true", "\t", "a,b", '"', "-a", "a\nb",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 11, 181, -181, 1e300, 10**400, "", "x", "x" * 70_000, [], [1], {}, {"lat": 1},
)  # fmt: skip
MISSING = object()
PATHS = {"delivery_id": ULID, "drone_id": "d1"}


@dataclass(frozen=True)
class Call:
    """One call of the document."""

    method: str
    path: str
    what: dict[str, Any]

    @property
    def url(self) -> str:
        return self.path.format(**PATHS)

    @property
    def media(self) -> str | None:
        return next(iter(self.what.get("requestBody", {}).get("content", {})), None)

    def good_body(self) -> Any:
        if self.media is None:
            return None
        if self.path == "/zones":
            return copy.deepcopy(dict(default_city().document))
        if self.path == "/deliveries":
            return copy.deepcopy(ORDER) | {"priority": 1, "deadline": "2999-01-01T00:00:00Z"}
        return copy.deepcopy(self.what["requestBody"]["content"][self.media]["example"])


CALLS = [
    Call(method, path, what) for path, item in DOCUMENT["paths"].items() for method, what in item.items()
]
PARAMETERS = [
    pytest.param(call, one, id=f"{call.what['operationId']}-{one['name']}")
    for call in CALLS
    for one in call.what["parameters"]
]
WITH_BODY = [pytest.param(call, id=call.what["operationId"]) for call in CALLS if call.media]


def allows(schema: dict[str, Any], value: Any) -> bool:
    """Whether the document allows the value, by the few words of JSON Schema that it uses."""
    if "$ref" in schema:
        schema = SCHEMAS[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return any(allows(one, value) for one in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return value in schema.get("enum", [schema.get("const")])
    kind = schema.get("type")
    if kind in {"integer", "number"}:
        if isinstance(value, bool) or not isinstance(value, int | float) or (kind == "integer" and value % 1):
            return False
        above = value >= schema.get("minimum", value) and value > schema.get("exclusiveMinimum", value - 1)
        return bool(above and value <= schema.get("maximum", value))
    if kind == "string":
        if not isinstance(value, str) or not schema.get("minLength", 0) <= len(value) <= schema.get(
            "maxLength", 10**9
        ):
            return False
        return "pattern" not in schema or re.search(schema["pattern"].replace("$", r"\Z"), value) is not None
    kinds: dict[Any, type] = {"object": dict, "array": list, "null": type(None)}
    return isinstance(value, kinds[kind])


def fields(
    schema: dict[str, Any], path: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Every field of a body with its place in it; of a list, that of its first item."""
    if "$ref" in schema:
        schema = SCHEMAS[schema["$ref"].rpartition("/")[2]]
    for name, one in schema.get("properties", {}).items():
        yield (*path, name), one
        yield from fields(one, (*path, name))
    if "items" in schema:
        yield from fields(schema["items"], (*path, 0))


def put(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    for step in path[:-1]:
        body = body[step]
    body[path[-1]] = value
    return body


def value_of(schema: dict[str, Any], text: str) -> Any:
    """What a parameter's text is for JSON Schema."""
    whole = schema.get("type") == "integer" and re.fullmatch("-?[0-9]+", text)
    return int(text) if whole else text


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def api() -> AsyncIterator[Api]:
    async with served_api() as made:
        yield made


async def send(api: Api, call: Call, body: Any, **more: Any) -> tuple[int, Any]:
    headers = OPERATOR | ({"Content-Type": call.media} if call.media else {}) | more.pop("headers", {})
    data = None if body is None else msgspec.json.encode(body)
    async with api.http.request(
        call.method.upper(), more.pop("url", call.url), data=data, headers=headers, **more
    ) as answer:
        return answer.status, msgspec.json.decode(
            await answer.read() or b"null"
        ) if answer.status >= 400 else None


@pytest.mark.parametrize(("call", "parameter"), PARAMETERS)
async def test_a_parameter_is_held_to_its_schema(api: Api, call: Call, parameter: dict[str, Any]) -> None:
    name, where = parameter["name"], parameter["in"]
    if name in ADVISORY or name == "lastEventId":
        await _is_never_refused(api, call, name)
        return
    before = api.asked_for()
    broken = [text for text in TEXTS if not allows(parameter["schema"], value_of(parameter["schema"], text))]
    assert broken
    for text in broken:
        if where == "header":
            if "\n" in text or text.strip() != text:
                continue  # no header can say it
            status, body = await send(api, call, call.good_body(), headers={name: text})
        elif where == "query":
            status, body = await send(api, call, call.good_body(), params={name: text})
        else:
            status, body = await send(api, call, call.good_body(), url=_with(call.path, name, text))
            assert status in {404, 405}
            continue
        assert (status, body["field"], [one["field"] for one in body["errors"]]) == (400, name, [name]), repr(
            text
        )
    assert api.asked_for() == before


def _with(path: str, name: str, text: str) -> str:
    return path.replace(f"{{{name}}}", quote(text, safe="") or "%20").format(**PATHS)


async def _is_never_refused(api: Api, call: Call, name: str) -> None:
    if call.path == "/events":
        return
    for text in TEXTS:
        if "\n" not in text and text.strip() == text:
            status, _ = await send(api, call, call.good_body(), headers={name: text})
            assert status not in {400, 422, 500}


@pytest.mark.parametrize("call", WITH_BODY)
async def test_every_field_of_a_body_is_held_to_its_schema(api: Api, call: Call) -> None:
    assert call.media is not None
    schema = call.what["requestBody"]["content"][call.media]["schema"]
    tried = 0
    for path, one in fields(schema):
        for value in VALUES:
            if allows(one, value):
                continue
            body = call.good_body()
            put(body, path, value)
            before = api.asked_for()
            status, answer = await send(api, call, body)
            if status == 413:
                continue
            assert status == 422, (path, value, answer)
            assert answer["field"].startswith(str(path[0])), (path, value, answer)
            assert api.asked_for() == before
            tried += 1
    assert tried or not list(fields(schema))


@pytest.mark.parametrize("name", CHARGE_POINT)
async def test_what_a_charge_point_must_have_is_held_to_its_schema(api: Api, name: str) -> None:
    call = next(call for call in CALLS if call.what["operationId"] == "replace_zones")
    for value in (*VALUES, MISSING):
        body = call.good_body()
        point = next(one for one in body["features"] if one["properties"]["kind"] == "charge_point")
        if value is MISSING:
            del point["properties"][name]
        elif not allows(CHARGE_POINT[name], value):
            point["properties"][name] = value
        else:
            continue
        status, answer = await send(api, call, body)
        assert (status, answer["field"].endswith(f"].properties.{name}")) == (422, True), (value, answer)


@pytest.mark.parametrize("call", WITH_BODY)
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/json; charset=utf-16", "multipart/form-data", ""]
)
async def test_a_body_without_a_json_type_is_415(api: Api, call: Call, kind: str) -> None:
    status, body = await send(api, call, call.good_body(), headers={"Content-Type": kind})
    assert (status, body["field"], body["type"]) == (415, "Content-Type", "/problems/unsupported-media-type")


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.what["operationId"])
@pytest.mark.parametrize(
    "name",
    ["Authorization: Bearer", "Origin:", "Sec-Fetch-Site:", "Content-Type:", "Content-Encoding:", "Cookie:"],
)
async def test_a_header_of_bytes_that_are_no_text_is_no_error_of_ours(
    api: Api, call: Call, name: str
) -> None:
    async with api.http.get("/health") as answer:
        port = answer.url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{call.method.upper()} {call.url} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n"
    writer.write(head.encode() + f"{name} ".encode() + b"\xff\xc3\r\n\r\n{}")
    status = int((await reader.readline()).split()[1])
    writer.close()
    assert status == 200 or 400 <= status < 500


@pytest.mark.parametrize("call", WITH_BODY)
async def test_a_map_is_the_body_of_the_zones_alone(api: Api, call: Call) -> None:
    status, _ = await send(api, call, {"a": 1}, headers={"Content-Type": "application/geo+json"})
    assert status == (422 if call.path == "/zones" else 415)


@pytest.mark.parametrize("call", WITH_BODY)
async def test_an_unknown_field_and_a_member_that_stands_twice_are_refused(api: Api, call: Call) -> None:
    if call.path != "/zones":
        status, body = await send(api, call, call.good_body() | {"strange": 1})
        assert (status, body["field"]) == (422, "strange")
    raw = b'{"a":1,"a":2}'
    headers = OPERATOR | {"Content-Type": str(call.media)}
    async with api.http.request(call.method.upper(), call.url, data=raw, headers=headers) as answer:
        document = msgspec.json.decode(await answer.read())
    assert (answer.status, document["field"]) == (422, "a")


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.what["operationId"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 421),
    ],
)
async def test_another_sites_page_and_another_hosts_name_are_refused(
    api: Api, call: Call, headers: dict[str, str], status: int
) -> None:
    if call.method == "get" and status == 403:
        return  # a page of another site cannot read the answer: there are no CORS headers
    answered, body = await send(api, call, call.good_body(), headers=headers)
    assert (answered, body["status"]) == (status, status)


async def test_repeated_parameters_and_headers_are_refused_and_a_double_slash_is_404(api: Api) -> None:
    status, body = await send(api, CALLS[1], None, url="/deliveries?limit=1&limit=1")
    assert (status, body["field"]) == (400, "limit")
    status, body = await send(api, CALLS[1], None, url="/deliveries?=1")
    assert (status, body["field"]) == (400, "query")
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "a"), ("Content-Type", "application/json")]
    async with api.http.post("/deliveries", data=msgspec.json.encode(ORDER), headers=headers) as answer:
        assert (answer.status, (await answer.json(content_type=None))["field"]) == (400, "Idempotency-Key")
    async with api.http.get(api.http._base_url.with_path("//", encoded=True)) as answer:  # type: ignore[union-attr]
        assert answer.status == 404
