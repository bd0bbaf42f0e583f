"""What could have been, with all orders known beforehand: the best plan found, and an exact bound for small instances.

A plan is a sequence of orders for every drone, and charging where and when it helps. There are two references. One sets
out for an order when it has been made, as everybody must who does not see the future, but with all choices right, that of
the charge point to wait at among them. The other *anticipates*: its drones wait at the origin before the order is made,
which no dispatcher can. Everything else is as in dispatch_world.py, with nominal consumption for the motion and the same
planned consumption for what a battery must hold. The plan begins as what our dispatcher flew, and large-neighbourhood
search (Shaw 1998; Ropke and Pisinger 2006) takes related orders out and puts each back where it costs least.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from loadtests.bench.dispatch_baselines import OURS
from loadtests.bench.dispatch_demand import Order, Scenario, benchmark_flight, demand
from loadtests.bench.dispatch_report import paired_ratio
from loadtests.bench.dispatch_world import Simulation, simulate

from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG, DroneType
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.fleet.positions import Point, distance_m

HINDSIGHT_LOADS = (24.0, 36.0)
HINDSIGHT_ORDERS = 200
ITERATIONS = 300
REMOVED = 6
NEAR_S = 2_700.0  # an order is put back among those made within this time of it

Routes = list[list[int]]


@dataclass(frozen=True, slots=True)
class Start:
    """A drone before its first order."""

    kind: DroneType
    at: Point


class Hindsight:
    """Evaluates plans: seconds from order to delivery, added up."""

    def __init__(
        self, flight: FlightModel, charge: Sequence[Point], orders: Sequence[Order], *, anticipate: bool
    ) -> None:
        self.flight = flight
        self.anticipate = anticipate
        self.orders = orders
        self._charge = charge
        self._v = flight.cruise_mps
        self._worst = flight.planned_pct(1.0)
        self._nominal = flight.drain_pct(1.0)
        self._rate = flight.charge_pct_per_min / 60.0
        self._carry = [distance_m(order.origin, order.destination) for order in orders]
        self._retreat = [min(distance_m(order.destination, p) for p in charge) for order in orders]

    def can_lift(self, start: Start, order: int) -> bool:
        return self.orders[order].weight_kg <= PAYLOAD_MAX_KG[start.kind]

    def cost_s(self, start: Start, route: Sequence[int]) -> float:
        """The better of charging enough and charging in full at every visit; inf: it cannot be flown."""
        return min(self._flown_s(start, route, in_full=False), self._flown_s(start, route, in_full=True))

    def bound_s(self, start: Start, route: Sequence[int]) -> float:
        """The same without batteries: no plan with batteries is better."""
        total, now, at = 0.0, 0.0, start.at
        for j in route:
            order = self.orders[j]
            straight = now if self.anticipate else max(now, order.at_s)
            picked = [straight + distance_m(at, order.origin) / self._v]
            for p in self._charge:  # to wait at
                there = now + distance_m(at, p) / self._v
                leaves = there if self.anticipate else max(there, order.at_s)
                picked.append(leaves + distance_m(p, order.origin) / self._v)
            now = max(order.at_s, min(picked)) + self._carry[j] / self._v
            total += now - order.at_s
            at = order.destination
        return total

    def _flown_s(self, start: Start, route: Sequence[int], *, in_full: bool) -> float:
        total, now, at, battery = 0.0, 0.0, start.at, 100.0
        for j in route:
            order = self.orders[j]
            straight = self._straight(now, at, battery, j)
            stopping = self._stopping(now, at, battery, j, in_full=in_full)
            # equally early: rather with what was charged on the way
            picked, battery = min(straight, stopping, key=lambda leg: (leg[0], -leg[1]))
            if not math.isfinite(picked):
                return math.inf
            now = max(order.at_s, picked) + self._carry[j] / self._v
            battery -= self._nominal * self._carry[j]
            total += now - order.at_s
            at = order.destination
        return total

    def _straight(self, now: float, at: Point, battery: float, j: int) -> tuple[float, float]:
        """(when, with what battery) the drone is at the origin."""
        fetch = distance_m(at, self.orders[j].origin)
        if self._need_pct(j, fetch) > battery:
            return math.inf, 0.0
        leaves = now if self.anticipate else max(now, self.orders[j].at_s)
        return leaves + fetch / self._v, battery - self._nominal * fetch

    def _stopping(
        self, now: float, at: Point, battery: float, j: int, *, in_full: bool
    ) -> tuple[float, float]:
        """The same by a charge point, where it stays for what it needs and for as long as the order lets it."""
        order = self.orders[j]
        stop = min(self._charge, key=lambda p: distance_m(at, p) + distance_m(p, order.origin))
        fetch = distance_m(stop, order.origin)
        need = self._need_pct(j, fetch)
        if need > 100.0:
            return math.inf, 0.0
        there_s = now + distance_m(at, stop) / self._v
        there_pct = battery - self._nominal * distance_m(at, stop)
        wanted = 100.0 if in_full and need > battery else need
        charged_s = there_s + max(0.0, wanted - there_pct) / self._rate
        leaves = max(charged_s, order.at_s - fetch / self._v if self.anticipate else order.at_s)
        battery = min(100.0, there_pct + (leaves - there_s) * self._rate)
        return leaves + fetch / self._v, battery - self._nominal * fetch

    def _need_pct(self, j: int, pickup_m: float) -> float:
        return self.flight.reserve_pct + self._worst * (pickup_m + self._carry[j] + self._retreat[j])


def flown_routes(run: Simulation) -> tuple[list[Start], Routes]:
    """What the dispatcher did, as a plan."""
    numbers = {order.id: j for j, order in enumerate(run.scenario.orders)}
    fleet = sorted(run.starts)
    routes: Routes = [[] for _ in fleet]
    rows = {drone_id: row for row, drone_id in enumerate(fleet)}
    for life in sorted(run.lives, key=lambda life: life.picked_s or 0.0):
        routes[rows[life.drone_id or ""]].append(numbers[life.order.id])
    return [Start(run.drones[drone_id].kind, run.starts[drone_id]) for drone_id in fleet], routes


def improve(
    hindsight: Hindsight, starts: Sequence[Start], routes: Routes, rng: np.random.Generator, iterations: int
) -> tuple[float, Routes]:
    """Large-neighbourhood search; worse plans are taken at first, by simulated annealing. (seconds, routes) of the best."""
    costs = [hindsight.cost_s(start, route) for start, route in zip(starts, routes, strict=True)]
    best, best_s = [list(route) for route in routes], sum(costs)
    heat_s = 0.002 * best_s if math.isfinite(best_s) else 600.0
    for step in range(iterations):
        tried, tried_costs = [list(route) for route in routes], list(costs)
        removed = _remove(hindsight, tried, rng)
        for row, (start, route) in enumerate(zip(starts, tried, strict=True)):
            if len(route) != len(routes[row]):
                tried_costs[row] = hindsight.cost_s(start, route)
        for j in removed:
            _put_back(hindsight, starts, tried, tried_costs, j)
        worse_s = sum(tried_costs) - sum(costs)
        warmth = heat_s * (1.0 - step / iterations)
        if worse_s <= 0.0 or (warmth > 0 and rng.random() < math.exp(-worse_s / warmth)):
            routes, costs = tried, tried_costs
        if sum(costs) < best_s:
            best, best_s = [list(route) for route in routes], sum(costs)
    return best_s, best


def _remove(hindsight: Hindsight, routes: Routes, rng: np.random.Generator) -> list[int]:
    """One order by chance and those made about the same time, in a random order."""
    orders = hindsight.orders
    seed = orders[int(rng.integers(len(orders)))].at_s
    around = sorted(range(len(orders)), key=lambda j: abs(orders[j].at_s - seed) * rng.uniform(0.5, 1.5))
    removed = around[:REMOVED]
    for route in routes:
        route[:] = [j for j in route if j not in removed]
    rng.shuffle(removed)
    return removed


def _put_back(
    hindsight: Hindsight, starts: Sequence[Start], routes: Routes, costs: list[float], j: int
) -> None:
    """Where it adds least, of the places among orders of about its time; in its turn there is always one."""
    made_s = hindsight.orders[j].at_s
    best: tuple[float, int, list[int], float] | None = None
    for row, (start, route) in enumerate(zip(starts, routes, strict=True)):
        if not hindsight.can_lift(start, j):
            continue
        for place in range(len(route) + 1):
            before_s = hindsight.orders[route[place - 1]].at_s if place else -math.inf
            after_s = hindsight.orders[route[place]].at_s if place < len(route) else math.inf
            near = min(abs(before_s - made_s), abs(after_s - made_s)) <= NEAR_S
            if not near and not before_s <= made_s <= after_s:
                continue
            tried = [*route[:place], j, *route[place:]]
            cost_s = hindsight.cost_s(start, tried)
            if best is None or cost_s - costs[row] < best[0]:
                best = cost_s - costs[row], row, tried, cost_s
    assert best is not None, "no drone lifts the order"
    _, row, routes[row], costs[row] = best


def exact(hindsight: Hindsight, starts: Sequence[Start], count: int) -> tuple[float, float]:
    """(bound without batteries, best plan with them) over every plan of `count` orders, in seconds."""
    bound = best = math.inf
    for routes in _all_routes(len(starts), count):
        pairs = list(zip(starts, routes, strict=True))
        if not all(hindsight.can_lift(start, j) for start, route in pairs for j in route):
            continue
        low = sum(hindsight.bound_s(start, route) for start, route in pairs)
        bound = min(bound, low)
        if low < best:
            best = min(best, sum(hindsight.cost_s(start, route) for start, route in pairs))
    return bound, best


def _all_routes(drones: int, count: int) -> Iterator[list[tuple[int, ...]]]:
    for order in itertools.permutations(range(count)):
        for cuts in itertools.combinations_with_replacement(range(count + 1), drones - 1):
            edges = (0, *cuts, count)
            yield [order[a:b] for a, b in itertools.pairwise(edges)]


def _run(seed: int, orders: int, drones: int, load: float) -> Simulation:
    city = default_city().open_sky().with_capacity(drones)
    rng = np.random.default_rng([seed, 1])
    scenario = Scenario(
        city, benchmark_flight(), drones, demand(city, rng, orders, load, clustered=False), seed, noise=0.0
    )
    return simulate(scenario, OURS, Tuning(autoscale=False, swap_guard_s=30.0))


def hindsight_of(run: Simulation, *, anticipate: bool) -> Hindsight:
    """For the same world and orders."""
    scenario = run.scenario
    charge = [point.at for point in scenario.city.charge_points]
    return Hindsight(scenario.flight, charge, scenario.orders, anticipate=anticipate)


def _searched_min(run: Simulation, *, anticipate: bool) -> float:
    starts, routes = flown_routes(run)
    rng = np.random.default_rng([run.scenario.seed, 3])
    best_s, _ = improve(hindsight_of(run, anticipate=anticipate), starts, routes, rng, ITERATIONS)
    return best_s / len(run.lives) / 60.0


def hindsight_lines(seeds: int, first_seed: int) -> list[str]:
    """Ours over the best hindsight plans found, by load; then the small instances with their exact bound."""
    lines = ["", f"### All orders known: {HINDSIGHT_ORDERS} orders, {ITERATIONS} steps of search", ""]
    lines += [
        "| load | ours, mean min | best plan found | ours / best | anticipating | ours / anticipating |"
    ]
    lines += ["|" + "---|" * 6]
    numbers = range(first_seed, first_seed + seeds)
    for load in HINDSIGHT_LOADS:
        runs = [_run(seed, HINDSIGHT_ORDERS, 18, load) for seed in numbers]
        ours = [float(run.waits_s().mean()) / 60.0 for run in runs]
        found = [_searched_min(run, anticipate=False) for run in runs]
        ahead = [_searched_min(run, anticipate=True) for run in runs]
        lines.append(
            f"| {load:g} | {np.mean(ours):.1f} | {np.mean(found):.1f} | {paired_ratio(ours, found)} |"
            f" {np.mean(ahead):.1f} | {paired_ratio(ours, ahead)} |"
        )
    return [*lines, *_exact_lines(numbers)]


def _exact_lines(seeds: Sequence[int]) -> list[str]:
    lines = ["", "Three drones, six orders, 12 orders an hour: every plan tried.", ""]
    lines += ["| seed | bound, no batteries | best plan | ours | ours / best |", "|---|---|---|---|---|"]
    for seed in seeds:
        run = _run(seed, 6, 3, 12.0)
        starts, _ = flown_routes(run)
        hindsight = hindsight_of(run, anticipate=False)
        bound, best = (value / 6 / 60 for value in exact(hindsight, starts, 6))
        ours_min = float(run.waits_s().mean()) / 60.0
        lines.append(f"| {seed} | {bound:.2f} | {best:.2f} | {ours_min:.2f} | {ours_min / best:.3f} |")
    return lines
