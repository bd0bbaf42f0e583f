"""Settings of the dispatcher: an unknown policy or setting is refused at start, with the known ones."""

from __future__ import annotations

import pytest

from dronedispatch.dispatcher.core.tuning import Policy
from dronedispatch.dispatcher.settings import Settings
from dronedispatch.runtime.settings import SettingsError, load


def test_an_unknown_policy_is_refused_with_the_list_of_known_ones() -> None:
    with pytest.raises(SettingsError) as refused:
        load(Settings, "DISPATCHER", {"DISPATCHER_POLICY": "astrology"})
    assert all(policy in str(refused.value) for policy in Policy)
    assert "DISPATCHER_POLICY" in str(refused.value)


@pytest.mark.parametrize("policy", list(Policy))
def test_every_policy_can_be_chosen_by_name(policy: Policy) -> None:
    assert load(Settings, "DISPATCHER", {"DISPATCHER_POLICY": policy.value}).tuning.policy is policy


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("DISPATCHER_ROUND_S", "0", "round_s"),
        ("DISPATCHER_GATHER_S", "5", "gather_s"),
        ("DISPATCHER_FLEET_SCAN_S", "1", "fleet_scan_s"),
        ("DISPATCHER_LOCK_TTL_MS", "5", "lock_ttl_ms"),
        ("DISPATCHER_LOCKS", "perhaps", "DISPATCHER_LOCKS"),
        ("DISPATCHER_SPEEED", "2", "DISPATCHER_SPEEED"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(variable: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(Settings, "DISPATCHER", {variable: value})
