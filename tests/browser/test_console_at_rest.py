"""What needs no flying fleet: who can read and reach the page, and what a dialog does that was closed too early."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from support.aside import aside
from support.axe import AXE, violations
from support.browser_visit import Visit
from support.quiet_town import quiet_town
from support.waiting import wait_until

pytestmark = pytest.mark.real

ORDERS = 9
AT_ONCE = 6  # what a dialog sends beside each other
SIZES = ((1440, 900), (1024, 768), (390, 844))
TABS = ("deliveries", "drones", "order")
WAITS = "waits since 2026-01-31T08:30:00.123Z; a drone is free at 2026-01-31T08:31:00Z"


PLACE = """async (number) => {
    const { placeOrder } = await import("/dashboard/js/api.js");
    const order = { origin: { lat: 41.89, lon: 12.49 }, destination: { lat: 41.91, lon: 12.53 }, weight: 1 };
    const placed = [];
    for (let n = 0; n < number; n += 1) placed.push((await placeOrder(order)).id);
    return placed;
}"""


INTERVALS = """const { setInterval: real } = window;
window.setInterval = (work, ms) => real(() => window.intervalsRest || work(), ms)"""
PACED = """async () => {
    const { Pace } = await import("/dashboard/js/pace.js");
    const waits = [];
    let now = 0, work, cost = 0, drawn = 0;
    const pace = new Pace(() => { drawn += 1; now += cost; }, () => now, (one, ms) => { work = one; waits.push(ms); });
    const ask = (costs) => { cost = costs; pace.ask(); pace.ask(); now += waits.at(-1); work(); };
    for (const costs of [1, 25, 0]) ask(costs);
    return { waits, drawn };
}"""


@pytest.fixture(scope="module")
def visit(browser: Browser) -> Iterator[Visit]:
    """One live page for all tests here; each leaves it as it found it."""
    with aside(quiet_town) as (_, url):
        context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
        context.add_init_script(INTERVALS)
        one = Visit(context.new_page())
        one.page.goto(f"{url}/dashboard")
        expect(one.page.locator("#link")).to_have_attribute("data-state", "live")
        one.page.evaluate(PLACE, ORDERS)
        expect(one.page.locator("#delivery-table tbody tr")).to_have_count(ORDERS)
        yield one
        context.close()


def test_axe_finds_nothing_at_any_size_in_any_theme_on_any_tab(visit: Visit) -> None:
    page = visit.page
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: dict[str, list[str]] = {}
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            for tab in TABS:
                page.click(f"[data-tab={tab}]")
                found[f"{width} {theme} {tab}"] = violations(page)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.emulate_media(color_scheme="light")
    page.click("[data-tab=deliveries]")
    page.locator("#delivery-table tbody tr").first.click()
    expect(page.locator("#card [data-part=why]")).not_to_be_empty()
    found["a card"] = violations(page)
    page.click("#card .close")
    assert len(found) == 19
    assert {where: said for where, said in found.items() if said} == {}


def test_a_change_is_drawn_when_it_comes_and_drawing_takes_a_tenth_of_the_time_at_most(visit: Visit) -> None:
    page = visit.page
    page.click("[data-tab=deliveries]")
    page.evaluate("window.intervalsRest = true")
    [placed] = page.evaluate(PLACE, 1)
    expect(page.locator(f"#delivery-table tr[data-id='{placed}']")).to_be_visible()
    page.evaluate("window.intervalsRest = false")
    assert page.evaluate(PACED) == {"waits": [0, 99, 225], "drawn": 3}


def test_an_orders_card_shows_its_last_button_whole_and_moments_as_people_read_them(visit: Visit) -> None:
    page = visit.page
    page.click("[data-tab=deliveries]")
    page.route("**/why", lambda route: route.fulfill(json={"summary": WAITS, "drones": []}))
    page.locator("#delivery-table tbody tr").nth(1).click()
    card = page.locator("#card")
    why = card.locator("[data-part=why]")
    expect(why).to_have_text("waits since 2026-01-31 08:30:00; a drone is free at 2026-01-31 08:31:00")
    visit.keep_picture("order-card")
    box, last = card.bounding_box(), card.locator(".row button").last.bounding_box()
    assert box is not None
    assert last is not None
    assert last["y"] + last["height"] <= box["y"] + box["height"]
    page.click("#card .close")
    page.unroute("**/why")


def test_a_dialog_that_is_closed_while_it_works_does_its_own_action_to_the_end(visit: Visit) -> None:
    page, asked, held = visit.page, [], []

    def hold(route: Route) -> None:
        if route.request.method == "GET":
            route.continue_()
            return
        asked.append(route.request.url.rpartition("/")[2])
        held.append(route)

    page.route("**/deliveries/*/*", hold)
    page.click("[data-tab=deliveries]")
    orders = page.locator("#delivery-table tbody tr").count()
    page.click("#delivery-bulk [data-bulk=all]")
    page.click("#delivery-bulk [data-bulk=priority]")
    dialog = page.locator("#action")
    expect(dialog.locator("tbody")).not_to_contain_text("reading")
    dialog.locator("[name=priority]").fill("4")
    dialog.locator("[data-part=apply]").click()
    wait_until(lambda: page.evaluate("true") and len(held) == AT_ONCE, "the first ones are on their way")
    page.keyboard.press("Escape")
    page.click("#delivery-bulk [data-bulk=none]")
    page.locator("#delivery-table tbody tr input").first.check()
    page.click("#delivery-bulk [data-bulk=cancel]")
    expect(dialog.locator("tbody tr")).to_have_count(1)

    def let_go() -> bool:
        while held:
            held.pop().continue_()
        return bool(page.evaluate("true")) and len(asked) == orders

    wait_until(let_go, "the rest is sent")
    assert asked == ["priority"] * orders
    page.keyboard.press("Escape")
    page.click("#delivery-bulk [data-bulk=none]")
    page.unroute("**/deliveries/*/*")
