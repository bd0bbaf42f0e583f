"""What needs no flying fleet: who can read and reach the page, what is an exception, links, the session, dialogs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from support.axe import AXE, violations
from support.browser_visit import Visit, row_of, type_token
from support.quiet_town import PLACE, quiet_visit
from support.waiting import wait_until

pytestmark = pytest.mark.real

ORDERS = 9
AT_ONCE = 6  # what a dialog sends beside each other
SIZES = ((1440, 900), (1024, 768), (390, 844))
TABS = ("deliveries", "drones", "order")
FITS = {"drone_id": "drone-00001", "reason": "fits after its drop-off of 01ARZ3NDEKTSV4RRFFQ69G5FAV"}
WAITS = "waits since 2026-01-31T08:30:00.123Z; a drone is free at 2026-01-31T08:31:00Z"


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


EXCEPTIONS = """async () => {
    const { exceptions } = await import("/dashboard/js/exceptions.js");
    const now = Date.parse("2026-01-01T12:00:00Z");
    const at = (seconds) => new Date(now + 1000 * seconds).toISOString();
    const order = (id, more) => ({ id, status: "assigned", created_at: at(-100), deadline: null, eta: { at: at(60) },
                                  ...more });
    const drone = (id, more) => ({ id, status: "busy", battery_pct: 80, ...more });
    const seen = {
        deliveries: [
            order("fine", {}),
            order("past the deadline", { deadline: at(-1) }),
            order("past the promise", { promised: { at: at(-1) } }),
            order("delivered late", { status: "delivered", deadline: at(-1) }),
            order("after the deadline", { deadline: at(30) }),
            order("after the promise", { promised: { at: at(30) } }),
            order("waits", { status: "pending", created_at: at(-300) }),
            order("waits a little", { status: "pending", created_at: at(-59) }),
            order("lost", { status: "failed" }),
        ],
        drones: [
            drone("fine", {}),
            drone("unheard", { silent: true }),
            drone("empty", { battery_pct: 14.9 }),
            drone("empty, charging", { battery_pct: 3, at_charge: "c1" }),
            drone("queued", { queued_at: "c1", battery_pct: 30 }),
        ],
        figures: { to_assign_mean_s: 20 },
        health: { health: "degraded", reasons: [{ kind: "broker_away" }, { kind: "slots_short" }] },
    };
    return Object.fromEntries(exceptions(seen, now).map((one) => [one.name, one.ids]));
}"""
SILENCE = """() => {
    const drone = [...droneDispatch.world.drones.values()][1];
    const say = (silent) => { drone.news = { ...drone.news, silent }; droneDispatch.world.version += 1; };
    const saying = setInterval(() => say(true), 20);
    window.endSilence = () => { clearInterval(saying); say(false); };
    return drone.news.id;
}"""
FROZEN = """async () => {
    const [fetch, timeout] = [window.fetch, AbortSignal.timeout];
    window.fetch = (path, { signal }) =>
        new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason)));
    AbortSignal.timeout = () => {
        const ending = new AbortController();
        setTimeout(() => ending.abort(new DOMException("late", "TimeoutError")), 1);
        return ending.signal;
    };
    const api = await import("/dashboard/js/api.js");
    const asked = [
        api.delivery("X"), api.why("X"), api.change("X", "cancel", {}), api.wish("d", "decommission"), api.session(),
    ];
    [window.fetch, AbortSignal.timeout] = [fetch, timeout];
    return Promise.all(asked.map((one) => one.catch((refused) => refused.message)));
}"""


@pytest.fixture(scope="module")
def visit(browser: Browser) -> Iterator[Visit]:
    """One live page for all tests here; each leaves it as it found it."""
    with quiet_visit(browser, INTERVALS) as one:
        one.page.evaluate(PLACE, ORDERS)
        expect(one.page.locator("#delivery-table tbody tr")).to_have_count(ORDERS)
        yield one


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
    expect(row_of(page, placed)).to_be_visible()
    page.evaluate("window.intervalsRest = false")
    assert page.evaluate(PACED) == {"waits": [0, 99, 225], "drawn": 3}


def test_an_orders_card_shows_its_last_button_whole_and_moments_as_people_read_them(visit: Visit) -> None:
    page = visit.page
    page.click("[data-tab=deliveries]")
    page.route("**/why", lambda route: route.fulfill(json={"summary": WAITS, "drones": [FITS]}))
    page.locator("#delivery-table tbody tr").nth(1).click()
    card = page.locator("#card")
    why = card.locator("[data-part=why]")
    expect(why).to_have_text("waits since 2026-01-31 08:30:00; a drone is free at 2026-01-31 08:31:00")
    visit.keep_picture("order-card")
    box, last = card.bounding_box(), card.locator(".row button").last.bounding_box()
    assert box is not None
    assert last is not None
    assert last["y"] + last["height"] <= box["y"] + box["height"]
    card.locator("summary").click()
    assert card.evaluate("(card) => card.scrollWidth - card.clientWidth") == 0  # no reason is cut off
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


def test_each_kind_of_exception_names_those_that_are_one_and_no_other(visit: Visit) -> None:
    late, risk = ["past the deadline", "past the promise"], ["after the deadline", "after the promise"]
    orders = {"late": late, "risk": risk, "waiting": ["waits"], "failed": ["lost"]}
    drones = {"silent": ["unheard"], "low": ["empty"], "queue": ["queued"]}
    assert visit.page.evaluate(EXCEPTIONS) == {"away-broker": [], **orders, **drones}


def test_a_click_on_an_exception_shows_those_alone_and_a_second_click_all_again(visit: Visit) -> None:
    page = visit.page
    lone = page.evaluate(SILENCE)
    silent = page.locator("[data-exception=silent]")
    expect(silent).to_contain_text("1 silent")
    silent.click()
    rows = page.locator("#drone-table tbody tr")
    expect(rows).to_have_count(1)
    expect(rows.first).to_have_attribute("data-id", lone)
    expect(silent).to_have_attribute("aria-pressed", "true")
    visit.keep_picture("exception")
    silent.click()
    expect(rows).to_have_count(3)
    expect(silent).to_have_attribute("aria-pressed", "false")
    page.evaluate("endSilence()")


def test_the_token_is_typed_once_and_no_script_sees_the_session(visit: Visit) -> None:
    page = visit.page
    page.click("#operator")
    type_token(page, "wrong")
    expect(page.locator("#sign-in output")).to_contain_text("not the operator's token")
    assert "--failed" in str(page.locator("#sign-in output").get_attribute("style"))  # a refusal is not green
    expect(page.locator("#sign-in .hint")).to_contain_text("for one hour")  # of a session on plain HTTP
    type_token(page)
    expect(page.locator("#operator")).to_have_text("Sign out")
    assert page.evaluate("document.cookie") == ""
    [kept] = [one for one in page.context.cookies() if one["name"] == "dd_session"]
    assert (kept["httpOnly"], kept["sameSite"]) == (True, "Strict")
    page.reload()
    expect(page.locator("#operator")).to_have_text("Sign out")
    page.click("#operator")
    expect(page.locator("#operator")).to_have_text("Sign in")
    assert [one for one in page.context.cookies() if one["name"] == "dd_session"] == []


def test_times_are_the_viewers_own_or_utc_and_stay_so(visit: Visit) -> None:
    clock = visit.page.locator("#clock")
    expect(clock).to_contain_text("UTC")
    clock.click()
    expect(clock).to_contain_text("local")
    visit.page.reload()
    expect(clock).to_contain_text("local")
    clock.click()
    expect(clock).to_contain_text("UTC")


def test_a_link_opens_the_card_of_its_order_and_back_the_one_before(visit: Visit) -> None:
    page, card = visit.page, visit.page.locator("#card")
    [placed] = page.evaluate(PLACE, 1)
    page.goto(f"{page.url.partition('#')[0]}#order={placed}")
    page.reload()
    expect(card.locator(".whole code")).to_have_text(placed)
    expect(card.locator("[data-part=why]")).not_to_be_empty()
    expect(card).not_to_contain_text("100 %")
    page.evaluate("location.hash = '#drone=drone-00001'")
    expect(card.locator("h3")).to_have_text("drone-00001")
    expect(card).to_contain_text("Last contact")
    visit.keep_picture("drone-card")
    page.go_back()
    expect(card.locator(".whole code")).to_have_text(placed)
    page.evaluate("location.hash = '#order=01ARZ3NDEKTSV4RRFFQ69G5FAV'")
    expect(card).to_contain_text("There is no order 01ARZ3NDEKTSV4RRFFQ69G5FAV")
    page.click("#card .close")


def test_a_grid_is_one_stop_of_the_tab_key_and_arrows_move_in_it(visit: Visit) -> None:
    page = visit.page
    page.click("[data-tab=drones]")
    stops = page.locator("#drone-table [tabindex='0']")
    expect(stops).to_have_count(1)
    stops.focus()
    for key, expected in (("ArrowDown", "drone-00001"), ("End", "drone-00002"), ("Home", "drone-00000")):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.dataset.id") == expected
        expect(stops).to_have_count(1)
    page.keyboard.press("Space")
    expect(page.locator("#drone-bulk")).to_contain_text("1 picked")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.locator("#card h3")).to_have_text("drone-00000")
    expect(page.locator("#card h3")).to_be_focused()  # one goes into the card, and back to one's row
    page.keyboard.press("Escape")
    expect(page.locator("#card")).to_be_hidden()
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.textContent") == "Drone"


def test_escape_closes_the_card_when_the_focus_is_nowhere_but_what_lies_over_it_first(visit: Visit) -> None:
    page = visit.page
    page.click("[data-tab=drones]")
    page.locator("#drone-table tbody tr").first.click()
    expect(page.locator("#card")).to_be_visible()
    page.click("#no-fly-open")
    type_token(page)
    expect(page.locator("#no-fly")).to_be_visible()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Escape")
    expect(page.locator("#no-fly")).to_be_hidden()
    expect(page.locator("#card")).to_be_visible()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Escape")
    expect(page.locator("#card")).to_be_hidden()


def test_all_wrong_fields_of_an_order_are_named_at_once(visit: Visit) -> None:
    page = visit.page
    page.click("[data-tab=order]")
    page.fill("[name='origin.lat']", "99")
    page.fill("[name=weight]", "many")
    page.click("text=Place the order")
    for name in ("origin.lat", "origin.lon", "destination.lat", "weight"):
        expect(page.locator(f"#order-form [name='{name}']")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#order-form .wrong")).to_have_count(5)
    tops = [page.locator(f"#order-form [name={name}]").bounding_box() for name in ("weight", "priority")]
    assert len({box["y"] for box in tops if box}) == 1
    page.fill("[name='origin.lat']", "41.9")  # what was wrong is not said of another value
    page.fill("[name=weight]", "1")
    expect(page.locator("#order-form .wrong")).to_have_count(2)
    expect(page.locator("#order-form [name=weight]")).to_have_attribute("aria-invalid", "false")


def test_no_question_to_a_frozen_system_is_waited_for_without_an_end(visit: Visit) -> None:
    assert visit.page.evaluate(FROZEN) == ["No answer: the system is silent"] * 5
