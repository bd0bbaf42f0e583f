"""kvctl recover: what the store's health tells an operator to type does what it is told for."""

from __future__ import annotations

import base64

import pytest

from dronedispatch.kvctl import recover as recovering
from dronedispatch.kvctl.arguments import parser
from dronedispatch.kvctl.session import ReplicaState, opened
from dronedispatch.kvctl.settings import Settings
from dronedispatch.replication import view as views
from dronedispatch.replication.hashing import assignment
from dronedispatch.replication.view import Replica


def state(name: str, kept: views.View) -> ReplicaState:
    return ReplicaState(
        name=name, disk=f"disk-{name}", url=f"http://{name}:1", cluster="c", floor=1, published=1, joining=[], last_join="",
        epoch=1, keys=0, hint_bytes=0, last_view=base64.b64encode(views.encode(kept)).decode(), cache={},
    )  # fmt: skip


def a_view() -> views.View:
    replicas = {name: Replica(f"http://{name}:1", f"disk-{name}") for name in ("r1", "r2")}
    return views.bootstrap("c", replicas, 2, assignment(sorted(replicas), 2), "by")


async def test_a_view_that_cannot_be_read_is_replaced_by_the_newest_that_a_replica_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = a_view()
    written: list[tuple[views.View, int | None]] = []

    async def kv_get(_key: str, **_options: object) -> tuple[int, bytes, int]:
        return 7, b"nonsense", 7

    async def kv_put(_key: str, value: bytes, *, cas: int | None = None) -> bool:
        written.append((views.decode(value), cas))
        return True

    async def registered(_session: object) -> dict[str, ReplicaState]:
        return {name: state(name, kept) for name in kept.replicas}

    monkeypatch.setattr(recovering, "registered", registered)
    async with opened(Settings()) as session:
        monkeypatch.setattr(session.consul, "kv_get", kv_get)
        monkeypatch.setattr(session.consul, "kv_put", kv_put)
        assert await recovering.recover(session, parser().parse_args(["recover"])) == 0
    ((view, index),) = written
    assert (view.slots, view.epoch, index) == (kept.slots, 2, 7)
