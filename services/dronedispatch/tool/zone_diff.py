"""What one city document changes of another. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class ZoneChange(NamedTuple):
    """`sign`: + added, - removed, ~ changed."""

    sign: str
    kind: str
    id: str
    what: str


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ZoneChange]:
    """Feature by feature, by kind and id; the order of features says nothing."""
    old, new = _features(before), _features(after)
    found = [ZoneChange("-", *key, "") for key in old if key not in new]
    found += [ZoneChange("+", *key, "") for key in new if key not in old]
    found += [
        ZoneChange("~", *key, ", ".join(_changed(old[key], new[key])))
        for key in new
        if key in old and old[key] != new[key]
    ]
    return sorted(found, key=lambda one: (one.kind, one.id, one.sign))


def same_city(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two documents say the same."""
    return not differences(one, other)


def _features(document: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for number, feature in enumerate(document.get("features") or ()):
        properties = (feature.get("properties") if isinstance(feature, Mapping) else None) or {}
        name = str(properties.get("id") or properties.get("name") or f"number {number}")
        key = str(properties.get("kind") or "feature"), name
        found[key if key not in found else (key[0], f"{name} ({number})")] = feature
    return found


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    before, after = old.get("properties") or {}, new.get("properties") or {}
    names = [
        f"{name} {before.get(name)!r} -> {after.get(name)!r}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    return [*names, *(["geometry"] if old.get("geometry") != new.get("geometry") else [])] or [
        "other members"
    ]
