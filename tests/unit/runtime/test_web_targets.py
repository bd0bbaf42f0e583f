"""A target that is no URL is answered like any other bad request."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from dronedispatch.runtime.settings import ProcessSettings
from dronedispatch.runtime.web import create_web
from dronedispatch.testing.serving import serving

TARGETS = (b"?x", b"#a", b"x", b":80", b"", b"http://", b"http://[::1", b"http://a:b/", b"a:1", b"/\xff")


async def answer_to(port: int, target: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("target", TARGETS)
async def test_a_target_that_is_no_url_is_a_400_without_a_traceback(target: bytes) -> None:
    app = create_web("gateway", ProcessSettings(), ready=lambda: None)
    with structlog.testing.capture_logs() as said:
        async with serving(app) as port:
            answer = await answer_to(port, target)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"application/problem+json" in answer
    assert not [line for line in said if line["log_level"] in ("error", "critical")]
