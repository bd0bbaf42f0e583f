"""Settings of drone_sim: refused at birth, by name."""

from __future__ import annotations

import pytest

from dronedispatch.drone_sim.settings import Settings
from dronedispatch.runtime.settings import SettingsError, load


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("DRONE_SIM_DRONES", "-1", "drones"),
        ("DRONE_SIM_TICK_MS", "1", "tick_ms"),
        ("DRONE_SIM_SPEED", "0", "speed"),
        ("DRONE_SIM_SPEED", "nan", "speed"),
        ("DRONE_SIM_NOISE", "0.2", "noise"),
        ("DRONE_SIM_SLOTS", "0", "slots"),
        ("DRONE_SIM_REFRESH_TICKS", "0", "refresh_ticks"),
        ("DRONE_SIM_STORE_TICKS", "0", "store_ticks"),
        ("DRONE_SIM_STORE_TICKS", "21", "store_ticks"),
        ("DRONE_SIM_CRUISE_MPS", "-3", "cruise_mps"),
        ("DRONE_SIM_WINGS", "2", "DRONE_SIM_WINGS"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(variable: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(Settings, "DRONE_SIM", {variable: value})
