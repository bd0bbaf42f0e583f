"""Faults on request: a drone goes silent, a battery drops. They are not stored: a new process knows of none."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dronedispatch.drone_sim.core.craft import Craft
from dronedispatch.drone_sim.core.fleet_state import FleetState
from dronedispatch.runtime.clock import Clock

SILENT_S_MAX = 3600.0


class FaultKind(StrEnum):
    """What may happen to a drone."""

    SILENT = "silent"  # neither moves nor hears nor tells
    BATTERY = "battery"  # drops to `battery_pct`
    HEAL = "heal"  # the end of a silence; an empty battery is exchanged for a full one


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /faults. `seconds`: how long a drone is silent (real seconds)."""

    drone_id: str
    kind: FaultKind
    seconds: float = 60.0
    battery_pct: float | None = None


def why_not(fault: Fault) -> tuple[str, str] | None:
    """(field, reason) of a fault that cannot be, None if it can."""
    if fault.kind is FaultKind.SILENT and not 0 < fault.seconds <= SILENT_S_MAX:
        return "seconds", f"must be above 0 and at most {SILENT_S_MAX:g}"
    if fault.kind is FaultKind.BATTERY and (fault.battery_pct is None or not 0 <= fault.battery_pct <= 100):
        return "battery_pct", "must be in 0..100"
    return None


class FaultInjector:
    """The faults of this process' drones."""

    def __init__(self, state: FleetState, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._silent_until_s: dict[str, float] = {}

    def strike(self, fault: Fault) -> bool:
        """Whether the drone is flown here and the fault has struck."""
        craft = self._state.crafts.get(fault.drone_id)
        if craft is None:
            return False
        if fault.kind is FaultKind.SILENT:
            self._silent_until_s[fault.drone_id] = self._clock.monotonic_s() + fault.seconds
        elif fault.kind is FaultKind.HEAL:
            self._silent_until_s.pop(fault.drone_id, None)
            if is_dead(craft):
                self._state.change(msgspec.structs.replace(craft, battery_pct=100.0))
        else:
            assert fault.battery_pct is not None
            battery_pct = min(craft.battery_pct, fault.battery_pct)
            self._state.change(msgspec.structs.replace(craft, battery_pct=battery_pct))
        return True

    def silent(self) -> frozenset[str]:
        """Who is silent now: by a fault, or because the battery is empty and others have been told so."""
        now_s = self._clock.monotonic_s()
        self._silent_until_s = {name: s for name, s in self._silent_until_s.items() if s > now_s}
        dead = {name for name, craft in self._state.crafts.items() if is_dead(craft)}
        return frozenset({*self._silent_until_s, *(dead - self._state.owed)})


def is_dead(craft: Craft) -> bool:
    """Empty away from a charger: it cannot fly, and its radio has no power either."""
    return craft.battery_pct <= 0 and craft.docked is None and craft.queued is None
