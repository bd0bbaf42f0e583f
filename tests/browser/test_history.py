"""The figures of the last hours on the page."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from playwright.sync_api import expect

from dronedispatch.fleet.documents import encode
from dronedispatch.gateway.core.history import figures_key
from dronedispatch.testing.gateway import a_minute
from support.aside import aside
from support.browser_visit import Visit
from support.quiet_town import quiet_town

pytestmark = pytest.mark.real

HOLE = range(60, 75)
BEGUN_TWICE = re.compile(r"^M[^M]+M[^M]+")


@asynccontextmanager
async def town_with_a_past() -> AsyncIterator[str]:
    """Two hours and a half of figures, with a quarter of an hour that nobody recorded; three drones."""
    async with quiet_town() as (gateway, url):
        now = int(gateway.clock.wall_s() // 60)
        for ago in set(range(3, 150)) - set(HOLE):
            await gateway.kv.put(figures_key(now - ago), encode(a_minute(now - ago)))
        yield url


@pytest.fixture(scope="module")
def past() -> Iterator[str]:
    with aside(town_with_a_past) as url:
        yield url


def test_the_past_is_there_after_a_reload_with_holes_where_nothing_was_recorded(
    visit: Visit, past: str
) -> None:
    for _ in range(2):
        visit.page.goto(f"{past}/dashboard")
        visit.page.get_by_role("button", name="History").click()
        expect(visit.page.locator("#history .chart")).to_have_count(5)
        line = visit.page.locator("#history .chart path").first
        expect(line).to_have_attribute("d", BEGUN_TWICE)
    visit.keep_picture("history")
    expect(visit.page.locator("#history .hint")).to_contain_text("of 60 s")
    visit.page.get_by_role("button", name="7 days").click()
    expect(visit.page.locator("#history .hint")).to_contain_text("of 30:00 min")
    assert visit.faults == []


def test_the_past_is_saved_as_a_table_by_a_button(visit: Visit, past: str) -> None:
    visit.page.goto(f"{past}/dashboard")
    visit.page.get_by_role("button", name="History").click()
    with visit.page.expect_download() as told:
        visit.page.get_by_role("button", name="CSV").click()
    assert told.value.suggested_filename == "figures.csv"
    lines = told.value.path().read_text().splitlines()
    assert lines[0].startswith("at,minutes,whole,pending,assigned")
    assert len(lines) == 1 + 181
