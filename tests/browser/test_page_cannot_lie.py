"""What the page says of itself is true: stale when its news are old, and the same as the API when it is live again."""

from __future__ import annotations

import contextlib
import signal

import pytest
from playwright.sync_api import Browser, expect

from support.browser_visit import Visit, live_with_fleet
from support.live_system import LiveSystem
from support.waiting import wait_until

pytestmark = pytest.mark.real

OPEN = "[...droneDispatch.world.deliveries.values()].filter(d => ['pending', 'assigned', 'in-progress'].includes(d.status))"
CITIES = """() => {
    const world = new droneDispatch.world.constructor();
    const city = { features: [] };
    world.wantCity("3.10");
    return ["3.9", "3.10", "2.11", "4.1"].map(version => world.setCity(city, version));
}"""
GATEWAYS = ("gateway-1", "gateway-2", "gateway-3")


def open_dashboard(visit: Visit, system: LiveSystem) -> None:
    live_with_fleet(visit, system.url)
    visit.wait_for("droneDispatch.stream.lastId !== ''", "the page knows from where to resume")


def open_in_api(system: LiveSystem) -> list[str] | None:
    """Every order that the API calls open, sorted; None while it does not answer."""
    found: set[str] = set()
    with contextlib.closing(system.caller()) as caller:
        for status in ("pending", "assigned", "in-progress"):
            answer = caller.ask("GET", f"/deliveries?status={status}&limit=500")
            if answer.status != 200:
                return None
            found |= {str(one["id"]) for one in answer.document["deliveries"]}
    return sorted(found)


def shows_what_the_api_says(visit: Visit, system: LiveSystem) -> None:
    """Until the page's open orders are the API's, both asked while nothing is placed."""

    def same() -> bool:
        return bool(visit.page.evaluate(f"{OPEN}.map(d => d.id).sort()") == open_in_api(system))

    wait_until(same, "the page shows the open orders of the API, and no other", 30)


@pytest.mark.parametrize("frozen", [("lb-1",), GATEWAYS], ids=["the load balancer", "every gateway"])
def test_while_the_news_stand_still_the_page_says_stale_and_is_live_again_by_itself(
    visit: Visit, system: LiveSystem, frozen: tuple[str, ...]
) -> None:
    system.place(4, seed=7)
    open_dashboard(visit, system)
    for name in frozen:
        system.kill(name, signal.SIGSTOP)
    try:
        expect(visit.page.locator("#link")).to_have_attribute("data-state", "stale")
        expect(visit.page.locator("#link")).to_contain_text("nothing heard for")
        visit.keep_picture(f"stale-{frozen[0]}")
    finally:
        for name in frozen:
            system.kill(name, signal.SIGCONT)
    expect(visit.page.locator("#link")).to_have_attribute("data-state", "live")
    shows_what_the_api_says(visit, system)


def test_orders_that_ended_while_every_gateway_was_away_do_not_stay_open_on_the_page(
    visit: Visit, system: LiveSystem
) -> None:
    system.place(6, seed=8)
    open_dashboard(visit, system)
    for name in GATEWAYS:
        system.kill(name)
    expect(visit.page.locator("#link")).to_have_attribute("data-state", "live")
    shows_what_the_api_says(visit, system)


def test_an_order_that_ended_before_the_stream_opened_does_not_stay_open_on_the_page(
    visit: Visit, system: LiveSystem
) -> None:
    """The lists are read when the page loads; on a slow machine its stream opens a second later."""
    may_open: list[bool] = []
    visit.page.route("**/events*", lambda route: route.continue_() if may_open else route.abort())
    [placed] = system.place(1, seed=9)
    visit.page.goto(f"{system.url}/dashboard")
    visit.wait_for(f"droneDispatch.world.deliveries.has('{placed}')", "the lists have been read")
    wait_until(lambda: open_in_api(system) == [], "every order has ended", 60)
    may_open.append(True)
    expect(visit.page.locator("#link")).to_have_attribute("data-state", "live")
    shows_what_the_api_says(visit, system)


def test_eight_tabs_of_one_browser_all_load_and_are_live(browser: Browser, system: LiveSystem) -> None:
    """A browser opens six connections to a host: with a stream a tab the seventh would wait for ever."""
    context = browser.new_context(viewport={"width": 900, "height": 700})
    try:
        visits = [Visit(context.new_page()) for _ in range(8)]
        for visit in visits:
            open_dashboard(visit, system)
        answer = visits[0].page.evaluate("fetch('/deliveries?limit=1').then(answer => answer.status)")
        assert answer == 200
        streams = sum("/events" in url for visit in visits for url in visit.asked)
        assert streams == 1
        visits[0].page.close()  # whoever holds the stream goes: another page takes it
        for visit in visits[1:]:
            visit.wait_for("droneDispatch.stream.heardSince(1500)", "it hears news still", 20)
    finally:
        context.close()


def test_a_record_that_cannot_be_drawn_is_said_and_stops_no_frame(visit: Visit, system: LiveSystem) -> None:
    open_dashboard(visit, system)
    features = "const all = droneDispatch.world.features, bad = all.findIndex(one => !one.properties)"
    broken = f"{features}; if (bad < 0) all.push({{properties: null, geometry: null}})"

    def said() -> bool:
        """A city that is read meanwhile takes the place of all features: it is put there again."""
        visit.page.evaluate(f"() => {{ {broken}; droneDispatch.map.refresh() }}")
        return "not all is drawn" in visit.page.locator("#link").inner_text()

    wait_until(said, "the page says that not all is drawn", 120)
    visit.page.evaluate(f"() => {{ {features}; all.splice(bad, 1); droneDispatch.map.refresh() }}")
    expect(visit.page.locator("#link")).to_have_attribute("data-state", "live")


def test_a_page_draws_no_city_older_than_one_it_was_told_of(visit: Visit, system: LiveSystem) -> None:
    open_dashboard(visit, system)
    assert visit.page.evaluate(CITIES) == [False, True, False, True]
