"""The OpenAPI document is the truth: every route is in it, and requests generated from it get answers that it allows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from dronedispatch.gateway.core.problem_types import PROBLEM_TYPES
from dronedispatch.gateway.openapi.document import as_text, document
from dronedispatch.testing.gateway import OPERATOR_TOKEN, MemoryGateway
from dronedispatch.testing.serving import serving
from support.aside import aside
from support.generated import examples

ROOT = Path(__file__).parents[2]
UNDOCUMENTED = {
    "/.well-known/dronedispatch-proof",
    "/",
    "/dashboard",
    "/dashboard/{path}",
    "/docs",
    "/openapi.json",
    "/problems",
    "/problems/{name}",
    "/metrics",
}  # pages, and the private one
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


def documented() -> dict[str, object]:
    found = document()
    found["paths"] = {
        path: item for path, item in found["paths"].items() if path != "/events"
    }  # it never ends
    return found


schema = schemathesis.openapi.from_dict(documented())


@asynccontextmanager
async def town() -> AsyncIterator[str]:
    async with serving(MemoryGateway().app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A gateway on memory twins beside the test: schemathesis is synchronous."""
    with aside(town) as url:
        yield url


@pytest.mark.filterwarnings("ignore")  # of the generator's own libraries; ours are errors in every other test
@schema.parametrize()
@settings(max_examples=examples(25), suppress_health_check=list(HealthCheck))
def test_generated_requests_get_documented_answers_and_no_5xx(case: Case[Any], base_url: str) -> None:
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    answer = case.call(base_url=base_url, headers=headers, timeout=120)
    if answer.status_code in {503, 504} and case.path.endswith("/why"):
        return  # no dispatcher in this town: documented, and not the server's fault
    checks = [one for one in CHECKS if one is not negative_data_rejection or answer.status_code != 412]
    case.validate_response(answer, checks=checks)  # If-Match is judged before the body: RFC 9110, 13.2.2


def test_every_route_is_documented_and_every_documented_one_exists() -> None:
    app = MemoryGateway().app
    app.finalize()
    routes = {
        "/"
        + "/".join(part.replace("<", "{").replace(">", "}").replace(":path}", "}") for part in route.parts)
        for route in app.router.routes
    }
    assert {route.replace(":str}", "}") for route in routes} - UNDOCUMENTED == set(document()["paths"])


def test_the_committed_document_is_the_one_that_is_served() -> None:
    committed = (ROOT / "docs/openapi.json").read_text(encoding="utf-8")
    assert committed == as_text(), "python -m dronedispatch.gateway.openapi > docs/openapi.json"


def test_every_call_may_be_answered_by_the_door() -> None:
    calls = [call for item in document()["paths"].values() for call in item.values()]
    assert [
        call["operationId"] for call in calls if not {"429", "502", "503", "504"} <= set(call["responses"])
    ] == []


def test_every_call_has_a_name_a_tag_and_examples() -> None:
    made = document()
    calls = [call for item in made["paths"].values() for call in item.values()]
    names = [call["operationId"] for call in calls]
    assert len(set(names)) == len(names)
    assert {tag for call in calls for tag in call["tags"]} == {tag["name"] for tag in made["tags"]}
    for call in calls:
        for status, answer in call["responses"].items():
            problem = answer.get("content", {}).get("application/problem+json")
            is_health = (call["operationId"], status) == ("get_health", "503")
            assert (problem is None) == (int(status) < 400 or is_health)
            assert problem is None or problem["examples"]
        for content in call.get("requestBody", {}).get("content", {}).values():
            assert "example" in content or content["schema"]["$ref"].endswith("/Zones")


def test_every_kind_of_problem_has_its_section_in_the_docs() -> None:
    text = (ROOT / "docs/problems.md").read_text(encoding="utf-8")
    for kind in PROBLEM_TYPES:
        assert f"## {kind.name}\n\n`{kind.uri}`, status {kind.status}: {kind.title}.\n" in text
        assert kind.meaning.split()[-1] in text
