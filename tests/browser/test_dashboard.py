"""The dashboard as a person sees it, in a real browser on the real system."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from support.browser_visit import Visit, live_with_fleet, row_of
from support.live_system import LiveSystem, eventually

pytestmark = pytest.mark.real

CLIPPED = """() => [...document.querySelectorAll("td")].filter(one => one.getBoundingClientRect().right > 390)
    .map(one => one.textContent)"""
FLYING = "[...droneDispatch.world.drones.values()].filter(d => d.news.speed_mps > 0.1)"


def test_drones_are_seen_to_move_and_smoothly_between_two_ticks(visit: Visit, system: LiveSystem) -> None:
    system.place(12, seed=12)
    live_with_fleet(visit, system.url)
    visit.wait_for(f"{FLYING}.some(d => d.trail.length > 2)", "a drone has left a trail")
    moves = visit.page.evaluate(
        f"""async () => {{
            const drone = {FLYING}.find(d => d.trail.length > 2);
            const seen = new Set();
            for (let frame = 0; frame < 40; frame += 1) {{
                await new Promise(requestAnimationFrame);
                seen.add(`${{drone.x.toFixed(3)}} ${{drone.y.toFixed(3)}}`);
            }}
            return seen.size;
        }}"""
    )
    assert moves >= 10, f"{moves} places in 40 frames"
    visit.keep_picture("moving")


def test_an_order_placed_through_the_api_appears_and_is_delivered_without_a_reload(
    visit: Visit, system: LiveSystem
) -> None:
    live_with_fleet(visit, system.url)
    [placed] = system.place(1, seed=1)
    row = row_of(visit.page, placed)
    expect(row).to_be_visible()
    row.click()
    expect(visit.page.locator("#card h3")).to_contain_text(placed[-7:])
    visit.keep_picture("order")
    expect(row).to_contain_text("delivered")
    expect(visit.page.locator("#card")).to_contain_text("in-progress")
    visit.keep_picture("delivered")
    assert visit.faults == []


def test_nothing_is_asked_of_any_other_host(visit: Visit, system: LiveSystem) -> None:
    live_with_fleet(visit, system.url)
    visit.page.goto(f"{system.url}/docs")
    expect(visit.page.locator("summary").first).to_contain_text("/deliveries")
    hosts = {urlsplit(url).netloc for url in visit.asked if not url.startswith("data:")}
    assert hosts == {urlsplit(system.url).netloc}
    assert visit.faults == []


def test_the_key_figures_are_those_of_the_system(visit: Visit, system: LiveSystem) -> None:
    system.place(3, seed=3)
    live_with_fleet(visit, system.url)

    def agree() -> bool:
        figures = system.get("/figures")
        shown = visit.page.locator("#figure-delivered").inner_text()  # a dash until they have come
        return bool(shown.replace(",", "") == str(figures["delivered"]) and figures["delivered"] > 0)

    eventually(agree, "the page shows what the system counts", 60)
    for name in ("pending", "assigned", "flying", "idle", "charging", "rate", "to-assign", "to-deliver"):
        assert visit.page.locator(f"#figure-{name}").inner_text() != "–", name


def test_two_clicks_on_the_map_and_a_weight_make_an_order(visit: Visit, system: LiveSystem) -> None:
    live_with_fleet(visit, system.url)
    visit.page.click("[data-tab=order]")
    box = visit.page.locator("#sky").bounding_box()
    assert box is not None
    visit.page.mouse.click(box["x"] + box["width"] * 0.40, box["y"] + box["height"] * 0.30)
    visit.page.mouse.click(box["x"] + box["width"] * 0.60, box["y"] + box["height"] * 0.75)
    visit.page.fill("[name=weight]", "99")
    visit.page.click("text=Place the order")
    expect(visit.page.locator("#order-answer")).to_contain_text("weight")
    expect(visit.page.locator("[name=weight]")).to_have_attribute("aria-invalid", "true")
    visit.page.fill("[name=weight]", "1.5")
    visit.page.click("text=Place the order")
    expect(visit.page.locator("#order-answer")).to_contain_text("is stored")
    newest = system.get("/deliveries?limit=1")["deliveries"][0]
    assert newest["weight"] == 1.5
    expect(visit.page.locator("#card h3")).to_contain_text(newest["id"][-7:])


def test_filters_narrow_the_tables(visit: Visit, system: LiveSystem) -> None:
    live_with_fleet(visit, system.url)
    visit.page.click("[data-tab=drones]")
    expect(visit.page.locator("#drone-tally")).to_have_text("72 of 72")
    visit.page.fill("#drone-search", "heavy")
    expect(visit.page.locator("#drone-tally")).to_have_text("24 of 72")
    visit.page.fill("#drone-search", "drone-00001")
    expect(visit.page.locator("#drone-table tbody tr")).to_have_count(1)


def test_a_click_on_a_heading_sorts_and_a_second_one_turns_the_order(
    visit: Visit, system: LiveSystem
) -> None:
    live_with_fleet(visit, system.url)
    visit.page.click("[data-tab=drones]")
    first = visit.page.locator("#drone-table tbody tr td:first-child").first
    expect(first).to_have_text("drone-00001")
    heading = visit.page.get_by_role("columnheader", name="Drone")
    turns = (("drone-00001", "ascending"), ("drone-00072", "descending"), ("drone-00001", "none"))
    for wanted, order in turns:
        heading.get_by_role("button").click()
        expect(first).to_have_text(wanted)
        expect(heading).to_have_attribute("aria-sort", order)


def test_a_killed_gateway_does_not_stop_the_page(visit: Visit, system: LiveSystem) -> None:
    live_with_fleet(visit, system.url)
    for name in ("gateway-1", "gateway-2", "gateway-3"):
        system.kill(name)
        eventually(lambda name=name: system.rows()[name]["healthy"], f"{name} is back", 30)  # type: ignore[misc]
    [placed] = system.place(1, seed=1)
    row = row_of(visit.page, placed)
    expect(row).to_contain_text("delivered")
    expect(visit.page.locator("#link")).to_have_attribute("data-state", "live")


def test_it_is_usable_on_a_phone_in_the_dark(phone: Visit, system: LiveSystem) -> None:
    system.place(6, seed=6)
    live_with_fleet(phone, system.url)
    width = phone.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390, f"{width} pixels wide"
    assert phone.page.evaluate("document.documentElement.dataset.theme") == "dark"
    expect(phone.page.locator("#delivery-table tbody tr").first).to_be_visible()
    assert phone.page.evaluate(CLIPPED) == []
    phone.page.tap("[data-tab=drones]")
    expect(phone.page.locator("#drone-table tbody tr").first).to_be_visible()
    assert phone.page.evaluate(CLIPPED) == []
    phone.keep_picture("phone")
    assert phone.faults == []
