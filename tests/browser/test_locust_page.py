"""Locust's own page in a real browser: a person starts a run there, stops it, and reads the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from support.aside import aside
from support.browser_visit import Visit
from support.load_town import NO_MATTER_HOW_SLOW, answers, planted, town, web_ui
from support.waiting import wait_until

pytestmark = pytest.mark.real


@pytest.fixture
def page(tmp_path: Path) -> Iterator[str]:
    """Locust's address; one threshold is such that no system holds it."""
    slo = planted(tmp_path, NO_MATTER_HOW_SLOW | {"to_assigned_p95_s_max": 0.000_001})
    with aside(town) as url, web_ui(url, "--slo", str(slo)) as address:
        wait_until(lambda: answers(address), "the page answers", 10.0)
        yield address


def test_a_run_of_locusts_page_is_started_stopped_and_judged(visit: Visit, page: str) -> None:
    visit.page.goto(page)
    visit.page.get_by_role("button", name="Start").click()
    visit.page.get_by_role("tab", name="SLO verdict").click()
    rows = visit.page.get_by_role("row")
    expect(rows.filter(has_text="POST p95")).to_contain_text("ok")
    expect(rows.filter(has_text="Verdict").last).to_contain_text("not yet")
    visit.keep_picture("locust-running")
    visit.page.get_by_role("button", name="Stop").click()
    expect(rows.filter(has_text="Verdict").last).to_contain_text("VIOLATED")  # without a reload
    expect(rows.filter(has_text="created -> assigned p95").last).to_contain_text("VIOLATED")
    visit.keep_picture("locust-verdict")
    assert visit.faults == []
