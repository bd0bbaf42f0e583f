"""What runs beside a test is there while it is wanted, and quiet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog

from support.aside import aside

log = structlog.get_logger()


def test_only_warnings_are_logged_beside_a_test(capsys: pytest.CaptureFixture[str]) -> None:
    @asynccontextmanager
    async def chatty() -> AsyncIterator[int]:
        log.info("a round")
        log.warning("a fault")
        yield 7

    with aside(chatty) as value:
        assert value == 7
    log.info("after it")
    said = capsys.readouterr().out
    assert "a fault" in said
    assert "a round" not in said
    assert "after it" in said
