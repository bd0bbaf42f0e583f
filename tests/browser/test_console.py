"""An operator's day on the page: exceptions, signing in, acting, searching. In a real browser on the real system."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from support.browser_visit import Visit, live_with_fleet, row_of, type_token
from support.live_system import LiveSystem, eventually

pytestmark = pytest.mark.real


def token(system: LiveSystem) -> str:
    """The operator's."""
    return (system.home / "tokens" / "operator").read_text(encoding="utf-8").split()[0]


def test_the_systems_own_word_stands_beside_the_pages_with_reasons_and_what_to_type(
    visit: Visit, system: LiveSystem
) -> None:
    live_with_fleet(visit, system.url)
    word = visit.page.locator("#health")
    expect(word).to_have_attribute("data-word", "healthy")
    broker = next(name for name in system.status() if name.startswith("rabbit"))
    system.kill(broker, signal.SIGSTOP)
    try:
        expect(word).to_have_attribute("data-word", "degraded")
        word.click()
        reasons = visit.page.locator("#health-reasons li")
        expect(reasons.first.locator("code")).not_to_be_empty()
        visit.keep_picture("degraded")
        visit.page.locator("#health-reasons").press("Escape")
        expect(visit.page.locator("#health-reasons")).to_be_hidden()
    finally:
        system.kill(broker, signal.SIGCONT)
    expect(word).to_have_attribute("data-word", "healthy")


@pytest.fixture
def orders_stay(system: LiveSystem) -> Iterator[None]:
    """The dispatcher is stopped: an order is not delivered before a slow machine has clicked on it."""
    with system.frozen("dispatcher"):
        yield


@pytest.mark.usefixtures("orders_stay")
def test_focus_stays_on_its_button_and_on_its_order_while_everything_changes(
    visit: Visit, system: LiveSystem
) -> None:
    [placed] = system.place(1, seed=5)
    live_with_fleet(visit, system.url, "#drone=drone-00002")
    visit.page.locator("#card [data-action=locate]").focus()
    visit.page.locator("#card [data-action=locate]").evaluate("one => (window.kept = one)")
    expect(visit.page.locator("#card")).to_contain_text("Last contact")  # read apart, and filled in later
    assert visit.page.evaluate("document.activeElement === window.kept && window.kept.isConnected")
    row = row_of(visit.page, placed)
    expect(row).to_be_visible()
    row.focus()
    newer = system.place(3, seed=4)
    expect(row_of(visit.page, newer[-1])).to_be_visible()
    assert visit.page.evaluate("document.activeElement.dataset.id") == placed


def test_a_drone_is_taken_out_of_service_by_its_operator_and_brought_back(
    visit: Visit, system: LiveSystem
) -> None:
    live_with_fleet(visit, system.url, "#drone=drone-00003")
    visit.page.click("#card [data-action=service]")
    type_token(visit.page, token(system))
    dialog = visit.page.locator("#action")
    expect(dialog.locator("tbody")).to_contain_text("retires")
    dialog.locator("[data-part=apply]").click()
    expect(dialog.locator("tbody td.done")).to_contain_text("done")
    eventually(lambda: system.get("/drones/drone-00003")["decommissioned"], "it is out of service", 60)
    visit.keep_picture("out-of-service")
    dialog.locator("[data-part=undo]").click()
    expect(dialog.locator("tbody td.done")).to_contain_text("taken back")
    eventually(lambda: not system.get("/drones/drone-00003")["decommissioned"], "it is back", 60)


@pytest.mark.usefixtures("orders_stay")
def test_several_orders_are_changed_at_once_with_a_result_each_and_the_way_back(
    visit: Visit, system: LiveSystem
) -> None:
    live_with_fleet(visit, system.url)
    picked = system.place(2, seed=6, priority=2)
    for one in picked:
        visit.page.locator(f"#delivery-table tr[data-id='{one}'] input").check()
    visit.page.click("[data-bulk=priority]")
    dialog = visit.page.locator("#action")
    expect(dialog.locator("tbody td:last-child").first).not_to_contain_text("reading")
    with contextlib.closing(system.caller()) as caller:  # somebody else is quicker with the first of them
        changed = caller.insist("POST", f"/deliveries/{picked[0]}/priority", {"priority": 5})
        assert changed.status in {200, 409}
    dialog.locator("[name=priority]").fill("9")
    visit.keep_picture("preview")
    dialog.locator("[data-part=apply]").click()
    expect(dialog.locator("[data-part=sum]")).to_contain_text("done")
    rows = dialog.locator("tbody tr")
    expect(rows.nth(0)).to_contain_text("not done")
    visit.keep_picture("results")


@pytest.mark.usefixtures("orders_stay")
def test_search_asks_the_system_by_the_beginning_of_an_id_and_says_when_nothing_is_found(
    visit: Visit, system: LiveSystem
) -> None:
    [placed] = system.place(1, seed=5)
    live_with_fleet(visit, system.url)
    visit.page.evaluate(f"droneDispatch.world.deliveries.delete('{placed}')")
    answer = visit.page.locator("#system-search [data-part=answer]")
    visit.page.fill("#delivery-search", placed[:20])
    visit.page.keyboard.press("Enter")
    expect(answer).to_contain_text("1 found in the system")
    expect(row_of(visit.page, placed)).to_be_visible()
    visit.page.fill("#delivery-search", "7ZZZZZZZZZ")
    expect(visit.page.locator("#delivery-empty")).to_contain_text("None of the")
    visit.page.keyboard.press("Enter")
    expect(answer).to_have_text("No order in the system is like that.")
    visit.keep_picture("empty")
    visit.page.click("#delivery-empty [data-clear]")
    expect(row_of(visit.page, placed)).to_be_visible()
