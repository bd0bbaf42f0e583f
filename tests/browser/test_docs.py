"""The API's page in a real browser: each call can be found, tried and copied."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from dronedispatch.testing.gateway import MemoryGateway
from dronedispatch.testing.serving import serving
from support.aside import aside
from support.axe import AXE, violations
from support.browser_visit import Visit

pytestmark = pytest.mark.real


@asynccontextmanager
async def town() -> AsyncIterator[str]:
    async with serving(MemoryGateway().app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with aside(town) as found:
        yield found


@pytest.fixture(scope="module")
def visit(browser: Browser, url: str) -> Iterator[Visit]:
    """One page for all tests here; each leaves the search empty."""
    one = Visit(browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="light"))
    one.page.goto(f"{url}/docs")
    expect(one.page.locator("#place_order")).to_be_visible()
    yield one
    one.page.close()


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.page


def test_a_document_that_was_lost_is_read_again(browser: Browser, url: str) -> None:
    page = browser.new_page()
    page.route("**/openapi.json", lambda route: route.abort("internetdisconnected"))
    page.goto(f"{url}/docs")
    expect(page.get_by_role("status")).to_contain_text("could not be read (Failed to fetch): trying again")
    page.unroute("**/openapi.json")
    expect(page.locator("#place_order")).to_be_visible()
    page.close()


def test_a_call_is_tried_from_the_page_and_answers(page: Page, visit: Visit) -> None:
    order = page.locator("#place_order")
    order.locator("summary").first.click()
    order.get_by_role("button", name="Send").click()
    expect(order.locator(".answer")).to_contain_text("201")
    orders = page.locator("#list_deliveries")
    orders.locator("summary").first.click()
    expect(orders.locator("select option")).to_have_count(7)
    orders.locator("select").select_option("in-progress")
    orders.get_by_role("button", name="Send").click()
    expect(orders.locator(".answer")).to_contain_text("200")
    assert visit.faults == []


def test_a_name_in_a_description_is_set_as_code_wherever_it_stands(page: Page) -> None:
    expect(page.locator("#page :not(pre, textarea)").filter(has_text="`")).to_have_count(0)
    expect(page.locator("header p code").first).to_have_text("errors")
    expect(page.locator("#list_deliveries > p code").filter(has_text="next").first).to_be_attached()
    expect(page.locator("#list_deliveries td code").filter(has_text="next").first).to_be_attached()
    expect(page.locator("#schema-DeliveryPage li code").filter(has_text="after").first).to_be_attached()
    expect(page.locator("#schema-Problem > p code")).to_have_text(["type", "status", "detail"])


def test_axe_finds_nothing_in_any_theme(page: Page) -> None:
    page.evaluate(AXE.read_text(encoding="utf-8"))
    page.get_by_label("Search").fill("place")  # a call that is open, and forms: all others are made alike
    expect(page.locator("#decommission_drone")).to_be_hidden()
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page) == []
    page.emulate_media(color_scheme="light")
    page.get_by_label("Search").fill("")


def test_the_search_leaves_what_holds_its_words(page: Page) -> None:
    page.get_by_label("Search").fill("post priority")
    expect(page.locator("#set_priority")).to_be_visible()
    expect(page.locator("#place_order")).to_be_hidden()
    page.get_by_label("Search").fill("")


def test_curl_is_copied_without_the_token(page: Page) -> None:
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    call = page.locator("#decommission_drone")
    call.locator("summary").first.click()
    call.locator("input[type=password]").fill("secret-of-mine")
    call.get_by_role("button", name="Copy as curl").click()
    expect(call.get_by_role("button", name="Copied")).to_be_visible()
    copied = str(page.evaluate("window.copied"))
    assert "$OPERATOR_TOKEN" in copied
    assert "secret-of-mine" not in copied
