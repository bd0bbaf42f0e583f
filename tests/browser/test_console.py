"""An operator's day on the page: exceptions, signing in, acting, searching. In a real browser on the real system."""

from __future__ import annotations

import contextlib
import signal

import pytest
from playwright.sync_api import expect

from support.browser_visit import Visit
from support.live_system import LiveSystem, eventually

pytestmark = pytest.mark.real

LIVE_MS = 120_000


def open_page(visit: Visit, system: LiveSystem, hash_: str = "") -> None:
    """The page, when it is live."""
    visit.page.goto(f"{system.url}/dashboard{hash_}")
    expect(visit.page.locator("#link")).to_have_attribute("data-state", "live", timeout=LIVE_MS)
    visit.wait_for("droneDispatch.world.drones.size === 72", "the whole fleet is there")


def token(system: LiveSystem) -> str:
    """The operator's."""
    return (system.home / "tokens" / "operator").read_text(encoding="utf-8").split()[0]


def sign_in(visit: Visit, system: LiveSystem) -> None:
    """By the dialog."""
    visit.page.click("#operator")
    visit.page.fill("#sign-in [name=token]", token(system))
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator("#operator")).to_have_text("Sign out")


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


def test_each_kind_of_exception_names_those_that_are_one_and_no_other(
    visit: Visit, system: LiveSystem
) -> None:
    open_page(visit, system)
    assert visit.page.evaluate(EXCEPTIONS) == {
        "away-broker": [],
        "late": ["past the deadline", "past the promise"],
        "risk": ["after the deadline", "after the promise"],
        "waiting": ["waits"],
        "failed": ["lost"],
        "silent": ["unheard"],
        "low": ["empty"],
        "queue": ["queued"],
    }


def test_a_click_on_an_exception_shows_those_alone_and_a_second_click_all_again(
    visit: Visit, system: LiveSystem
) -> None:
    open_page(visit, system)
    lone = visit.page.evaluate(
        """() => {
            const drone = [...droneDispatch.world.drones.values()][7];
            setInterval(() => { drone.news = { ...drone.news, silent: true }; droneDispatch.world.version += 1; }, 20);
            return drone.news.id;
        }"""
    )
    silent = visit.page.locator("[data-exception=silent]")
    expect(silent).to_contain_text("1 silent")
    silent.click()
    rows = visit.page.locator("#drone-table tbody tr")
    expect(rows).to_have_count(1)
    expect(rows.first).to_have_attribute("data-id", lone)
    expect(silent).to_have_attribute("aria-pressed", "true")
    visit.keep_picture("exception")
    silent.click()
    expect(rows).to_have_count(72)
    expect(silent).to_have_attribute("aria-pressed", "false")


def test_the_systems_own_word_stands_beside_the_pages_with_reasons_and_what_to_type(
    visit: Visit, system: LiveSystem
) -> None:
    open_page(visit, system)
    word = visit.page.locator("#health")
    expect(word).to_have_attribute("data-word", "healthy")
    broker = next(name for name in system.status() if name.startswith("rabbit"))
    system.kill(broker, signal.SIGSTOP)
    try:
        expect(word).to_have_attribute("data-word", "degraded", timeout=LIVE_MS)
        word.click()
        reasons = visit.page.locator("#health-reasons li")
        expect(reasons.first.locator("code")).not_to_be_empty()
        visit.keep_picture("degraded")
        visit.page.locator("#health-reasons").press("Escape")
        expect(visit.page.locator("#health-reasons")).to_be_hidden()
    finally:
        system.kill(broker, signal.SIGCONT)
    expect(word).to_have_attribute("data-word", "healthy", timeout=LIVE_MS)


def test_the_token_is_typed_once_and_no_script_sees_the_session(visit: Visit, system: LiveSystem) -> None:
    open_page(visit, system)
    visit.page.click("#operator")
    visit.page.fill("#sign-in [name=token]", "wrong")
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator("#sign-in output")).to_contain_text("not the operator's token")
    visit.page.keyboard.press("Escape")
    sign_in(visit, system)
    assert visit.page.evaluate("document.cookie") == ""
    [kept] = [one for one in visit.page.context.cookies() if one["name"] == "dd_session"]
    assert (kept["httpOnly"], kept["sameSite"]) == (True, "Strict")
    visit.page.reload()
    expect(visit.page.locator("#operator")).to_have_text("Sign out")
    visit.page.click("#operator")
    expect(visit.page.locator("#operator")).to_have_text("Sign in")
    assert [one for one in visit.page.context.cookies() if one["name"] == "dd_session"] == []


def place(system: LiveSystem, **more: object) -> str:
    """An order through the public API; its id."""
    ends = {"origin": {"lat": 41.8902, "lon": 12.4922}, "destination": {"lat": 41.9109, "lon": 12.4763}}
    with contextlib.closing(system.caller()) as caller:
        answer = caller.insist("POST", "/deliveries", ends | {"weight": 1.0} | more)
    assert answer.status == 201, answer
    return str(answer.document["id"])


def test_a_link_opens_the_card_of_its_order_and_back_the_one_before(visit: Visit, system: LiveSystem) -> None:
    placed = place(system)
    open_page(visit, system, f"#order={placed}")
    card = visit.page.locator("#card")
    expect(card.locator(".whole code")).to_have_text(placed)
    expect(card.locator("[data-part=why]")).not_to_be_empty()
    expect(card).not_to_contain_text("100 %")
    visit.page.evaluate("location.hash = '#drone=drone-00001'")
    expect(card.locator("h3")).to_have_text("drone-00001")
    expect(card).to_contain_text("Last contact")
    visit.keep_picture("drone-card")
    visit.page.go_back()
    expect(card.locator(".whole code")).to_have_text(placed)
    visit.page.evaluate("location.hash = '#order=01ARZ3NDEKTSV4RRFFQ69G5FAV'")
    expect(card).to_contain_text("There is no order 01ARZ3NDEKTSV4RRFFQ69G5FAV")


def test_focus_stays_on_its_button_and_on_its_order_while_everything_changes(
    visit: Visit, system: LiveSystem
) -> None:
    placed = place(system)
    open_page(visit, system, "#drone=drone-00002")
    visit.page.locator("#card [data-action=locate]").focus()
    visit.page.locator("#card [data-action=locate]").evaluate("one => (window.kept = one)")
    expect(visit.page.locator("#card")).to_contain_text("Last contact")  # read apart, and filled in later
    assert visit.page.evaluate("document.activeElement === window.kept && window.kept.isConnected")
    row = visit.page.locator(f"#delivery-table tr[data-id='{placed}']")
    expect(row).to_be_visible()
    row.focus()
    newer = [place(system) for _ in range(3)]
    expect(visit.page.locator(f"#delivery-table tr[data-id='{newer[-1]}']")).to_be_visible()
    assert visit.page.evaluate("document.activeElement.dataset.id") == placed


def test_a_grid_is_one_stop_of_the_tab_key_and_arrows_move_in_it(visit: Visit, system: LiveSystem) -> None:
    open_page(visit, system)
    visit.page.click("[data-tab=drones]")
    stops = visit.page.locator("#drone-table [tabindex='0']")
    expect(stops).to_have_count(1)
    stops.focus()
    for key, expected in (("ArrowDown", "drone-00002"), ("End", "drone-00072"), ("Home", "drone-00001")):
        visit.page.keyboard.press(key)
        assert visit.page.evaluate("document.activeElement.dataset.id") == expected
        expect(stops).to_have_count(1)
    visit.page.keyboard.press("Space")
    expect(visit.page.locator("#drone-bulk")).to_contain_text("1 picked")
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator("#card h3")).to_have_text("drone-00001")
    expect(visit.page.locator("#card h3")).to_be_focused()  # one goes into the card, and back to one's row
    visit.page.keyboard.press("Escape")
    expect(visit.page.locator("#card")).to_be_hidden()
    visit.page.keyboard.press("ArrowUp")
    assert visit.page.evaluate("document.activeElement.textContent") == "Drone"


def test_a_drone_is_taken_out_of_service_by_its_operator_and_brought_back(
    visit: Visit, system: LiveSystem
) -> None:
    open_page(visit, system, "#drone=drone-00003")
    visit.page.click("#card [data-action=service]")
    visit.page.fill("#sign-in [name=token]", token(system))
    visit.page.keyboard.press("Enter")
    dialog = visit.page.locator("#action")
    expect(dialog.locator("tbody")).to_contain_text("retires")
    dialog.locator("[data-part=apply]").click()
    expect(dialog.locator("tbody td.done")).to_contain_text("done")
    eventually(lambda: system.get("/drones/drone-00003")["decommissioned"], "it is out of service", 60)
    visit.keep_picture("out-of-service")
    dialog.locator("[data-part=undo]").click()
    expect(dialog.locator("tbody td.done")).to_contain_text("taken back")
    eventually(lambda: not system.get("/drones/drone-00003")["decommissioned"], "it is back", 60)


def test_several_orders_are_changed_at_once_with_a_result_each_and_the_way_back(
    visit: Visit, system: LiveSystem
) -> None:
    open_page(visit, system)
    picked = [place(system, priority=2) for _ in range(2)]
    for one in picked:
        visit.page.locator(f"#delivery-table tr[data-id='{one}'] input").check()
    visit.page.click("[data-bulk=priority]")
    dialog = visit.page.locator("#action")
    expect(dialog.locator("tbody td:last-child").first).not_to_contain_text("reading")
    with contextlib.closing(system.caller()) as caller:  # somebody else is quicker with the first of them
        assert caller.insist("POST", f"/deliveries/{picked[0]}/priority", {"priority": 5}).status in {
            200,
            409,
        }
    dialog.locator("[name=priority]").fill("9")
    visit.keep_picture("preview")
    dialog.locator("[data-part=apply]").click()
    expect(dialog.locator("[data-part=sum]")).to_contain_text("done")
    rows = dialog.locator("tbody tr")
    expect(rows.nth(0)).to_contain_text("not done")
    visit.keep_picture("results")


def test_search_asks_the_system_by_the_beginning_of_an_id_and_says_when_nothing_is_found(
    visit: Visit, system: LiveSystem
) -> None:
    placed = place(system)
    open_page(visit, system)
    visit.page.evaluate(f"droneDispatch.world.deliveries.delete('{placed}')")
    answer = visit.page.locator("#system-search [data-part=answer]")
    visit.page.fill("#delivery-search", placed[:20])
    visit.page.keyboard.press("Enter")
    expect(answer).to_contain_text("1 found in the system")
    expect(visit.page.locator(f"#delivery-table tr[data-id='{placed}']")).to_be_visible()
    visit.page.fill("#delivery-search", "7ZZZZZZZZZ")
    expect(visit.page.locator("#delivery-empty")).to_contain_text("None of the")
    visit.page.keyboard.press("Enter")
    expect(answer).to_have_text("No order in the system is like that.")
    visit.keep_picture("empty")
    visit.page.click("#delivery-empty [data-clear]")
    expect(visit.page.locator(f"#delivery-table tr[data-id='{placed}']")).to_be_visible()


def test_all_wrong_fields_of_an_order_are_named_at_once(visit: Visit, system: LiveSystem) -> None:
    open_page(visit, system)
    visit.page.click("[data-tab=order]")
    visit.page.fill("[name='origin.lat']", "99")
    visit.page.fill("[name=weight]", "many")
    visit.page.click("text=Place the order")
    for name in ("origin.lat", "origin.lon", "destination.lat", "weight"):
        expect(visit.page.locator(f"#order-form [name='{name}']")).to_have_attribute("aria-invalid", "true")
    expect(visit.page.locator("#order-form .wrong")).to_have_count(5)


def test_times_are_the_viewers_own_or_utc_and_stay_so(visit: Visit, system: LiveSystem) -> None:
    open_page(visit, system)
    clock = visit.page.locator("#clock")
    expect(clock).to_contain_text("UTC")
    clock.click()
    expect(clock).to_contain_text("local")
    visit.page.reload()
    expect(clock).to_contain_text("local")


FROZEN = """async () => {
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
    return Promise.all(asked.map((one) => one.catch((refused) => refused.message)));
}"""


def test_no_question_to_a_frozen_system_is_waited_for_without_an_end(
    visit: Visit, system: LiveSystem
) -> None:
    open_page(visit, system)
    assert visit.page.evaluate(FROZEN) == ["No answer: the system is silent"] * 5
