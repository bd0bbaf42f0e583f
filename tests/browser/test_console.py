"""An operator's day on the page: exceptions, signing in, acting, searching. In a real browser on the real system."""

from __future__ import annotations

import signal

import pytest
from playwright.sync_api import expect

from support.browser_visit import Visit
from support.live_system import LiveSystem

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
