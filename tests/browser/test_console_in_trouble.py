"""What an operator is told when an answer is lost, a session ends, a clock is wrong or a browser forbids its storage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from support.aside import aside
from support.browser_visit import live, row_of, type_token
from support.quiet_town import PLACE, TRIP, quiet_town

pytestmark = pytest.mark.real

TEN_MINUTES_AHEAD = """(() => {
    const Real = Date;
    window.Date = class extends Real {
        constructor(...given) {
            if (given.length) super(...given);
            else super(Real.now() + 600_000);
        }
        static now() { return Real.now() + 600_000; }
    };
})()"""
NO_STORAGE = """Object.defineProperty(window, "localStorage", {
    get() { throw new DOMException("denied", "SecurityError"); },
})"""


def away(route: Route) -> None:
    route.fulfill(status=503, json={"title": "away"})


def no_orders(route: Route) -> None:
    route.fulfill(json={"deliveries": [], "next": None})


@pytest.fixture(scope="module")
def town() -> Iterator[str]:
    with aside(quiet_town) as (_, url):
        yield url


@pytest.fixture
def page(browser: Browser, town: str) -> Iterator[Page]:
    """A live page of its own for each test: several end sessions and spoil answers."""
    one = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    live(one, town)
    yield one
    one.context.close()


def sign_in(page: Page) -> None:
    page.click("#operator")
    type_token(page)
    expect(page.locator("#operator")).to_have_text("Sign out")


def open_action(page: Page, name: str, order: str) -> None:
    row_of(page, order).locator("input").check()
    page.click(f"#delivery-bulk [data-bulk={name}]")


def take_the_first_drone_out(page: Page) -> None:
    page.click("[data-tab=drones]")
    page.locator("#drone-table tbody tr input").first.check()
    page.click("#drone-bulk [data-bulk=out]")


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (502, {"X-Outcome": "unknown"}, "perhaps done"),
        (503, {"X-Outcome": "unknown"}, "perhaps done"),
        (504, {}, "perhaps done"),
        (503, {}, "not done"),
    ],
)
def test_what_may_have_been_done_is_never_called_not_done(
    page: Page, status: int, headers: dict[str, str], said: str
) -> None:
    [placed] = page.evaluate(PLACE, 1)
    page.route(
        "**/priority", lambda route: route.fulfill(status=status, headers=headers, json={"title": "gone"})
    )
    open_action(page, "priority", placed)
    page.locator("#action [data-part=apply]").click()
    expect(page.locator("#action tbody td.failed")).to_contain_text(said)


def test_a_link_to_an_order_that_could_not_be_read_opens_it_when_it_can(page: Page, town: str) -> None:
    [placed] = page.evaluate(PLACE, 1)
    broken = [True]

    def answer(route: Route) -> None:
        if broken:
            route.fulfill(status=503, json={"title": "away", "detail": "no gateway is there"})
        else:
            route.continue_()

    page.route(f"**/deliveries/{placed}", answer)
    page.route("**/deliveries?*", no_orders)
    live(page, town, f"#order={placed}")
    page.reload()
    expect(page.locator("#card")).to_contain_text("cannot be read now: no gateway is there")
    broken.clear()
    expect(page.locator("#card .badge")).to_have_text("pending")


def test_an_order_that_cannot_be_read_just_now_does_not_leave_the_page(page: Page) -> None:
    [placed] = page.evaluate(PLACE, 1)
    row = row_of(page, placed)
    expect(row).to_be_visible()
    page.route(f"**/deliveries/{placed}", away)
    page.route("**/deliveries?*", no_orders)
    for _ in range(2):  # it is asked for until it is known whether it is there
        with page.expect_response(f"**/deliveries/{placed}"):
            page.evaluate("droneDispatch.stream.handle('reset', {})")
    expect(row).to_be_visible()
    page.unroute(f"**/deliveries/{placed}")
    page.route(f"**/deliveries/{placed}", lambda route: route.fulfill(status=404, json={"title": "none"}))
    expect(row).to_have_count(0)


def test_all_open_orders_are_read_however_many_there_are(page: Page, town: str) -> None:
    page.evaluate(PLACE, 3)
    every = page.evaluate("fetch('/deliveries?limit=500').then((answer) => answer.json())")["deliveries"]

    def one_a_page(route: Route) -> None:
        """Of those that wait one a page, of the rest none: as if there were five hundred times as many."""
        query = route.request.url.partition("?")[2]
        if "status=pending" not in query:
            no_orders(route)
            return
        after = query.partition("after=")[2].partition("&")[0]
        at = next((n + 1 for n, one in enumerate(every) if one["id"] == after), 0)
        more = every[at]["id"] if at + 1 < len(every) else None
        route.fulfill(json={"deliveries": every[at : at + 1], "next": more})

    page.route("**/deliveries?*", one_a_page)
    live(page, town)
    expect(page.locator("#delivery-table tbody tr")).to_have_count(len(every))


def test_a_clock_that_is_wrong_makes_no_order_late_and_none_ten_minutes_old(
    browser: Browser, page: Page, town: str
) -> None:
    [placed] = page.evaluate(PLACE, 1)
    other = browser.new_page()
    other.add_init_script(TEN_MINUTES_AHEAD)
    live(other, town)
    row = row_of(other, placed)
    expect(row).not_to_contain_text("min")
    expect(other.locator("[data-exception=waiting]")).not_to_contain_text("1 ")
    other.close()


def test_who_signs_in_in_one_tab_is_signed_in_in_the_other(page: Page, town: str) -> None:
    other = page.context.new_page()
    live(other, town)
    sign_in(page)
    take_the_first_drone_out(other)
    expect(other.locator("#action")).to_be_visible()
    expect(other.locator("#sign-in")).to_be_hidden()
    expect(other.locator("#operator")).to_have_text("Sign out")


def test_a_session_that_ends_in_the_middle_is_begun_anew_in_the_same_dialog(page: Page) -> None:
    sign_in(page)
    take_the_first_drone_out(page)
    dialog = page.locator("#action")
    expect(dialog.locator("tbody")).to_contain_text("retires now")
    page.context.clear_cookies()
    dialog.locator("[data-part=apply]").click()
    expect(page.locator("#sign-in")).to_be_visible()
    type_token(page)
    expect(dialog.locator("tbody td.done")).to_contain_text("done")
    page.context.clear_cookies()
    dialog.locator("[data-part=undo]").click()
    type_token(page)
    expect(dialog.locator("tbody td.done")).to_contain_text("taken back")


def test_a_token_of_letters_that_no_header_can_carry_is_not_the_operators(page: Page) -> None:
    page.click("#operator")
    type_token(page, "пароль")
    expect(page.locator("#sign-in output")).to_have_text("This is not the operator's token.")


def test_a_browser_that_forbids_storage_shows_the_page(browser: Browser, town: str) -> None:
    page = browser.new_page()
    page.add_init_script(NO_STORAGE)
    live(page, town)
    page.click("#clock")
    expect(page.locator("#clock")).to_contain_text("local")
    page.click("#theme")
    page.close()


def test_a_year_has_four_digits_in_every_field_for_a_moment(page: Page) -> None:
    fields = page.locator("#system-search [type=datetime-local]")
    [placed] = page.evaluate(PLACE, 1)
    page.click("#system-search summary")
    open_action(page, "deadline", placed)
    field = page.locator("#action [name=deadline]")
    field.focus()
    page.keyboard.type("01022030")
    page.keyboard.type("0304AM")
    expect(field).to_have_value("2030-01-02T03:04")
    five_digits = "import('/dashboard/js/format.js').then((m) => m.momentOf('20261-01-01T00:00'))"
    assert page.evaluate(five_digits) is None
    for at in range(2):
        expect(fields.nth(at)).to_have_attribute("max", "9999-12-31T23:59")


def test_a_time_of_ordering_narrows_the_table_to_what_was_ordered_then(page: Page) -> None:
    page.evaluate(PLACE, 1)
    rows = page.locator("#delivery-table tbody tr")
    expect(rows).not_to_have_count(0)
    page.click("#system-search summary")
    page.fill("#system-search [name=to]", "2020-01-01T00:00")
    expect(rows).to_have_count(0)
    expect(page.locator("#delivery-empty")).to_contain_text("was ordered")
    page.click("#delivery-empty [data-clear]")
    expect(rows).not_to_have_count(0)


def test_what_could_not_be_read_for_a_preview_can_be_read_again(page: Page) -> None:
    [placed] = page.evaluate(PLACE, 1)
    page.route(f"**/deliveries/{placed}", away, times=1)
    open_action(page, "priority", placed)
    dialog = page.locator("#action")
    expect(dialog.locator("tbody")).to_contain_text("away")
    dialog.locator("[data-part=again]").click()
    expect(dialog.locator("tbody")).to_contain_text("pending, priority 0")
    expect(dialog.locator("[data-part=apply]")).to_be_enabled()


def test_an_order_of_which_nobody_knows_is_placed_again_as_the_same_order(page: Page) -> None:
    keys: list[str] = []

    def answer(route: Route) -> None:
        if route.request.method == "GET":
            route.fallback()
            return
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) <= 4:
            route.fulfill(status=502, headers={"X-Outcome": "unknown"}, json={"title": "it broke"})
        else:
            route.fallback()

    page.route("**/deliveries", answer)
    page.click("[data-tab=order]")
    for _ in range(2):
        for name, value in TRIP.items():
            page.fill(f"[name='{name}']", value)
        page.click("text=Place the order")
        expect(page.locator("#order-answer")).to_be_visible()
        if len(keys) < 5:
            expect(page.locator("#order-answer")).to_contain_text("Perhaps placed")
            page.click("text=Place the order")
        expect(page.locator("#order-answer")).to_contain_text("is stored")
    assert len(keys) == 6
    assert len(set(keys[:5])) == 1
    assert keys[5] != keys[0]  # what was settled is another order


def test_a_session_is_not_shown_for_longer_than_it_lasts(page: Page) -> None:
    shown = "{ signed_in: true, until: new Date(Date.now() - 900).toISOString() }"
    page.evaluate(f"droneDispatch.session.show({shown})")
    expect(page.locator("#operator")).to_have_text("Sign in")


def test_figures_that_are_old_are_said_to_be(page: Page) -> None:
    page.evaluate("droneDispatch.stream.handlers.figures = () => {}")
    expect(page.locator("#link")).to_contain_text("key figures of")
