"""What a day of work stumbled over: who is on a button, in which zone a moment is typed, what lies over what."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from support.browser_visit import Visit, row_of
from support.quiet_town import PLACE, TRIP, quiet_visit

pytestmark = pytest.mark.real

SIZES = ((1440, 900), (1024, 768), (390, 844))
INSERTED = """addEventListener("DOMContentLoaded", () => {
    let failed = 0;
    const onerror = () => { document.documentElement.dataset.failed = failed += 1; };
    const insert = (tag, fields) =>
        document.head.append(Object.assign(document.createElement(tag), fields, { onerror }));
    insert("script", { src: "https://extension.invalid/a.js" });
    insert("link", { rel: "stylesheet", href: "https://extension.invalid/a.css" });
    insert("script", { src: "/no-part-of-it.js" });
})"""
BATTERY = """async () => {
    const { BatteryLog } = await import("/dashboard/js/battery_log.js");
    const log = new BatteryLog();
    const told = (ms, battery_pct) => log.note([{ id: "d", battery_pct }], ms);
    for (let at = 0; at < 400; at += 1) told(1000 * at, 50);
    const samples = log.points("d").split(" ").length;
    told(399_500, 20);
    told(399_501, 100);
    return [samples, log.points("d").split(" ").at(-1)];
}"""
TYPED = """async () => {
    const [format, actions, search] = await Promise.all(
        ["format", "actions", "search"].map((one) => import(`/dashboard/js/${one}.js`)),
    );
    const { field } = actions.DEADLINE;
    const typed = "2030-12-31T23:59";
    const said = (local) => {
        format.setLocal(local);
        const { query } = search.meaning("", { from: typed, isDrone: () => false });
        const moment = field.parse(typed);
        return [moment, query.get("created_from"), field.value({ deadline: moment }), field.label().split(";")[0]];
    };
    return { local: said(true), UTC: said(false) };
}"""
OVERDRAWN = """async (figures) => {
    const { FigureTiles } = await import("/dashboard/js/figures.js");
    const root = document.querySelector("#figures");
    const kept = [...root.children];
    root.replaceChildren();
    new FigureTiles(root).show(figures);
    const over = [...root.children].filter((tile) => {
        const text = document.createRange();
        text.selectNodeContents(tile.querySelector("p"));
        const [said, chart] = [text.getBoundingClientRect(), tile.querySelector("svg").getBoundingClientRect()];
        return chart.width > 0 && said.right > chart.left;
    }).map((tile) => tile.textContent);
    root.replaceChildren(...kept);
    return over;
}"""


TAKEN_BACK = """async (others) => {
    const [{ ActionDialog }, { PRIORITY }, { change, placeOrder }] = await Promise.all(
        ["bulk", "actions", "api"].map((one) => import(`/dashboard/js/${one}.js`)),
    );
    const dialog = document.querySelector("#action").cloneNode(true);
    document.body.append(dialog);
    const shown = new ActionDialog(dialog, { onChanged: () => {} });
    const order = { origin: { lat: 41.89, lon: 12.49 }, destination: { lat: 41.91, lon: 12.53 }, weight: 1 };
    const { id } = await placeOrder(order);
    const of = { deadline: { deadline: "2030-12-31T23:59:00.000Z" }, priority: { priority: 3 } };
    const meanwhile = (name) => name && change(id, name, of[name]);
    await shown.open(PRIORITY, [id]);
    shown.input.value = "9";
    await meanwhile(others[0]);
    await shown.carryOut();
    const said = [dialog.querySelector("[data-part=sum]").textContent];
    await meanwhile(others[1]);
    await shown.takeBack();
    said.push(dialog.querySelector("[data-part=sum]").textContent);
    dialog.close();
    dialog.remove();
    return [...said, (await PRIORITY.read(id)).one.priority];
}"""
REOPENED = """async () => {
    const { onClosed } = await import("/dashboard/js/dom.js");
    const dialog = document.createElement("dialog");
    document.body.append(dialog);
    let closed = 0;
    onClosed(dialog, () => { closed += 1; });
    const told = () => new Promise((done) => dialog.addEventListener("close", () => setTimeout(done), { once: true }));
    const said = [];
    for (const again of [true, false]) {
        const heard = told();
        if (!dialog.open) dialog.showModal();
        dialog.close();
        if (again) dialog.showModal();
        await heard;
        said.push(closed);
    }
    dialog.remove();
    return said;
}"""
FITTED = """async () => {
    const { fitting } = await import("/dashboard/js/ground.js");
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = "600 11px sans-serif";
    return ["NORTH-WEST", "W".repeat(9) + "I".repeat(191), "שכונה ".repeat(30)].flatMap((name) =>
        [100, 40, 2].map((width) => {
            const said = fitting(pen, name, width);
            return pen.measureText(said).width <= width && (said === name ? name : said.length > 1 ? "cut" : said);
        }));
}"""
ACROSS = """async () => {
    const { Projection } = await import("/dashboard/js/projection.js");
    const view = new Projection();
    view.setCity([[179.95, -16.6], [180, -16.5], [-180, -16.5], [-179.97, -16.6]]);
    const east = view.metres(-16.55, -179.97);
    return [view.metres(-16.55, 179.95).x, east.x, view.degrees(east.x, east.y).lon].map(Math.round);
}"""
ANOTHER_ACTION = """() => {
    document.querySelector("#action").close();
    document.querySelector("#card [data-action=deadline]").click();
}"""
CANCELLED = """async (id) => {
    const { change } = await import("/dashboard/js/api.js");
    await change(id, "cancel");
}"""


@pytest.fixture(scope="module")
def visit(browser: Browser) -> Iterator[Visit]:
    """One live page for all tests here."""
    with quiet_visit(browser) as one:
        yield one


def test_a_city_across_the_antimeridian_is_drawn_as_one(visit: Visit) -> None:
    assert visit.page.evaluate(ACROSS) == [-4264, 4264, -180]


@pytest.mark.parametrize(
    ("path", "lost", "whole"),
    [
        ("/dashboard", "js/place.js", "#link[data-state=live]"),
        ("/dashboard", "css/dashboard.css", "#link[data-state=live]"),
        ("/docs", "js/docs_schema.js", "#place_order"),
    ],
)
def test_a_page_that_lost_a_part_of_itself_says_so_and_is_loaded_again(
    visit: Visit, browser: Browser, path: str, lost: str, whole: str
) -> None:
    seen = threading.Event()

    def lose(route: Route) -> None:
        if seen.is_set():
            route.continue_()
        else:
            route.abort("internetdisconnected")

    page = browser.new_page()
    page.route(f"**/{lost}", lose)
    page.goto(visit.page.url.replace("/dashboard", path), wait_until="commit")
    said = page.get_by_role("alert").filter(has_text="Not all of this page was loaded")
    expect(said).to_be_in_viewport()
    seen.set()
    expect(page.locator(whole)).to_be_attached()
    expect(said).to_have_count(0)
    assert page.evaluate("[...document.styleSheets].length") >= 2
    page.close()


def test_a_part_that_is_not_of_the_page_may_fail_and_nothing_is_loaded_again(
    visit: Visit, browser: Browser
) -> None:
    page = browser.new_page()
    page.add_init_script(INSERTED)
    loads: list[str] = []
    page.on("request", lambda request: loads.append(request.url) if request.is_navigation_request() else None)
    page.goto(visit.page.url)
    expect(page.locator("html")).to_have_attribute("data-failed", "3")
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    expect(page.locator("#lost")).to_have_count(0)
    assert len(loads) == 1
    page.close()


def test_a_moment_is_typed_in_the_zone_in_which_all_times_are_shown(visit: Visit, browser: Browser) -> None:
    page = browser.new_page(timezone_id="Asia/Tokyo")
    page.goto(visit.page.url)
    typed, utc, local = "2030-12-31T23:59", "2030-12-31T23:59:00.000Z", "2030-12-31T14:59:00.000Z"
    assert page.evaluate(TYPED) == {
        "UTC": [utc, utc, typed, "Delivered by, UTC"],
        "local": [local, local, typed, "Delivered by, local"],
    }
    page.click("#system-search summary")
    for zone in ("UTC", "local"):
        expect(page.locator("#system-search")).to_contain_text(f"Ordered from, {zone}")
        page.click("#clock")
    page.close()


def test_who_places_an_order_by_its_button_is_still_on_the_button(visit: Visit) -> None:
    page = visit.page
    page.click("[data-tab=order]")
    for name, value in (TRIP | {"weight": "1"}).items():
        page.fill(f"[name='{name}']", value)
    page.locator("#order-form [type=submit]").press("Enter")
    expect(page.locator("#order-answer")).to_contain_text("is stored")
    expect(page.locator("#order-form [type=submit]")).to_be_focused()
    page.click("#card .close")


def test_a_battery_is_drawn_to_its_newest_value(visit: Visit) -> None:
    assert visit.page.evaluate(BATTERY) == [60, "60.0,0.0"]


def test_no_figure_is_drawn_over_by_its_own_chart_at_any_size(visit: Visit) -> None:
    page = visit.page
    figures = {"pending": 1, "assigned": 1, "delivered": 10_000, "orders_per_minute": 1, "drones": {}}
    figures |= {"to_assign_mean_s": 5_399.0, "to_deliver_mean_s": 5_399.0}
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate(OVERDRAWN, figures) == []
    page.set_viewport_size({"width": 1440, "height": 900})


def test_a_name_is_drawn_no_wider_than_its_area(visit: Visit) -> None:
    whole, cut, none = "NORTH-WEST", "cut", ""
    assert visit.page.evaluate(FITTED) == [whole, cut, none, cut, cut, none, cut, cut, none]


@pytest.mark.parametrize(("width", "height"), [(844, 390), (720, 450), (320, 640), (360, 225)])
def test_rows_are_seen_in_a_window_as_low_as_a_phone_on_its_side_or_a_page_at_400_percent(
    visit: Visit, width: int, height: int
) -> None:
    page = visit.page
    page.evaluate(PLACE, 3)
    page.set_viewport_size({"width": width, "height": height})
    assert page.evaluate("document.querySelector('#figures').clientHeight") >= 60
    for tab in ("deliveries", "drones"):
        page.click(f"[data-tab={tab}]")
        assert page.evaluate(f"document.querySelector('#pane-{tab} .scroller').clientHeight") >= 100
    page.click("[data-tab=order]")
    page.locator("#order-form [type=submit]").scroll_into_view_if_needed()
    expect(page.locator("#order-form [type=submit]")).to_be_in_viewport()
    page.set_viewport_size({"width": 1440, "height": 900})
    page.click("[data-tab=deliveries]")


def test_a_focus_that_was_given_away_is_not_taken_back(visit: Visit) -> None:
    page = visit.page
    page.click("[data-tab=deliveries]")
    placed = page.evaluate(PLACE, 3)
    page.click("#delivery-chips [data-status=pending]")
    row = row_of(page, placed[0])
    row.focus()
    page.click("#delivery-tally")
    assert page.evaluate("document.activeElement === document.body")
    page.evaluate(CANCELLED, placed[0])
    expect(row).to_have_count(0)
    assert page.evaluate("document.activeElement === document.body")
    row_of(page, placed[1]).focus()
    page.evaluate(CANCELLED, placed[1])  # and one that vanishes from under it leaves it to its neighbour
    expect(page.locator("#delivery-table tbody tr:focus")).to_have_count(1)
    page.click("#delivery-chips [data-status=pending]")


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (["deadline", None], ["1 done, 0 not.", "1 taken back, 0 not.", 0]),
        ([None, "deadline"], ["1 done, 0 not.", "1 taken back, 0 not.", 0]),
        (["priority", None], ["0 done, 1 not.", "0 taken back, 0 not.", 3]),
        ([None, "priority"], ["1 done, 0 not.", "0 taken back, 1 not.", 3]),
    ],
)
def test_a_change_is_made_and_taken_back_on_an_order_that_moved_on_but_no_value_of_another_is_overwritten(
    visit: Visit, others: list[str | None], said: list[str | int]
) -> None:
    assert visit.page.evaluate(TAKEN_BACK, others) == said


def test_a_dialog_that_is_opened_again_before_the_browser_tells_its_closing_is_open(visit: Visit) -> None:
    assert visit.page.evaluate(REOPENED) == [0, 1]


def test_an_action_that_is_opened_at_once_after_another_is_shown_whole(visit: Visit) -> None:
    page = visit.page
    page.evaluate(PLACE, 3)
    page.click("[data-tab=deliveries]")
    page.click("#delivery-table tbody tr >> nth=0")
    page.click("#card [data-action=priority]")
    expect(page.locator("#action tbody")).to_contain_text("priority 0")
    page.evaluate(ANOTHER_ACTION)
    expect(page.locator("#action tbody")).to_contain_text("deadline none")
    page.keyboard.press("Escape")
    page.click("#card .close")
