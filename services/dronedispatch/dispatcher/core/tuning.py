"""The knobs of a round. Part of the dispatcher's settings (DISPATCHER_...), checked at birth."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Policy(StrEnum):
    """How pending orders find drones."""

    GREEDY = "greedy"  # the first system's pick_drone, as a baseline
    NEAREST = "nearest"  # in order of arrival, the nearest idle drone that can
    MATCHING = "matching"  # orders and idle drones, best sum of costs
    LOOKAHEAD = "lookahead"  # the same with drones that are soon free or charged, and swaps before pick-up


@dataclass(frozen=True, slots=True)
class Tuning:
    """Battery in per cent, seconds are real ones.

    `silent_ticks`: a drone that missed so many ticks is silent. `charge_below_pct`: an idle drone below it goes to
    charge whatever waits; `top_up_below_pct`: lookahead sends it below this when nothing waits for it.
    `swap_guard_s`: an order whose drone is nearer to the pick-up than this is not swapped: a few ticks, in which the
    drone may still act on its old orders. `swaps_max`: how often one delivery may lose its drone to a better plan.
    `autoscale`: whether drones are activated and retired by the backlog of their class; of each class `ready_share`
    stays idle, and who was idle for `retire_after_s` without need retires. `give_up_after_s`: an order that no drone can
    fly any more, whatever happens to the ones that are there, fails after so long.
    """

    policy: Policy = Policy.LOOKAHEAD
    silent_ticks: int = 3
    charge_below_pct: float = 30.0
    top_up_below_pct: float = 95.0
    swap_guard_s: float = 3.0
    swaps_max: int = 3
    autoscale: bool = True
    ready_share: float = 0.25
    retire_after_s: float = 900.0
    give_up_after_s: float = 600.0

    def __post_init__(self) -> None:
        if self.silent_ticks < 1:
            raise ValueError("silent_ticks must be 1 or more")
        if not 0.0 <= self.charge_below_pct <= 100.0:
            raise ValueError("charge_below_pct must be in 0..100")
        if not self.charge_below_pct <= self.top_up_below_pct <= 99.0:
            raise ValueError("top_up_below_pct must be in charge_below_pct..99")
        if self.swap_guard_s < 0:
            raise ValueError("swap_guard_s must be 0 or more")
        if self.swaps_max < 0:
            raise ValueError("swaps_max must be 0 or more")
        if not 0.0 <= self.ready_share <= 1.0:
            raise ValueError("ready_share must be in 0..1")
        if self.give_up_after_s <= 0:
            raise ValueError("give_up_after_s must be above 0")
        if self.retire_after_s <= 0:
            raise ValueError("retire_after_s must be above 0")
