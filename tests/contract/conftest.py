"""What tests of the gateway's HTTP face begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from support.gateway_client import Api, served_api


@pytest_asyncio.fixture
async def api() -> AsyncIterator[Api]:
    async with served_api() as made:
        yield made
