"""What the store's processes say before they can serve, and to whom they do not."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import ran
from support.store_parts import PROGRAM, TOKEN, Store

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One replica and one coordinator, and no view."""
    made = Store(tmp_path_factory.mktemp("store"), rf=1)
    made.consul.start()
    made.add("kvstore", "r1").start()
    made.add("kvfront", "f1").start()
    try:
        yield made
    finally:
        made.stop()


def status(
    store: Store, name: str, method: str, path: str, body: bytes | None = None, token: str = TOKEN
) -> tuple[int, str]:
    address, port = store.address(name)
    request = urllib.request.Request(f"http://{address}:{port}{path}", data=body, method=method)
    request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("name", ["f1", "r1"])
def test_without_a_view_every_operation_is_503_and_says_what_to_do(store: Store, name: str) -> None:
    for method, path, body in (
        ("GET", "/kv/k", None),
        ("PUT", "/kv/k", b"v"),
        ("POST", "/kv/cas", CAS),
        ("GET", "/kv", None),
    ):
        code, said = status(store, name, method, path, body)
        assert (code, "not_bootstrapped" in said) == (503, True), (method, path, said)


CAS = b'{"key": "k", "expected": "0", "value": "v"}'


def test_a_coordinator_without_a_view_is_live_and_not_ready(store: Store) -> None:
    assert status(store, "f1", "GET", "/health?live=1")[0] == 200
    code, said = status(store, "f1", "GET", "/health")
    assert code == 503
    assert "not_bootstrapped" in said


@pytest.mark.parametrize("name", ["f1", "r1"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/kv/k", None),
        ("PUT", "/kv/k", b"v"),
        ("POST", "/kv/batch", b"\x90"),
        ("POST", "/lock/acquire", b"{}"),
        ("GET", "/kv", None),
        ("GET", "/metrics", None),
    ],
)
def test_nobody_gets_in_without_the_token(
    store: Store, name: str, method: str, path: str, body: bytes | None
) -> None:
    assert status(store, name, method, path, body, token="wrong")[0] == 401


@pytest.mark.parametrize("path", ["/replica/batch", "/replica/offer"])
def test_a_replica_takes_no_calls_without_the_token_and_no_nonsense_with_it(store: Store, path: str) -> None:
    assert status(store, "r1", "POST", path, b"\x90", token="wrong")[0] == 401
    assert status(store, "r1", "POST", path, b"\xc1")[0] == 400


def test_health_is_open(store: Store) -> None:
    assert status(store, "r1", "GET", "/health", token="")[0] == 200


@pytest.mark.parametrize(
    ("service", "variable", "value", "reason"),
    [
        ("kvstore", "KVSTORE_CACHE_ITEMS_MAX", "0", "cache_items_max"),
        ("kvstore", "KVSTORE_NAME", "a/b", "name"),
        ("kvstore", "KVSTORE_CASH_ITEMS_MAX", "5", "KVSTORE_CASH_ITEMS_MAX"),
        ("kvfront", "KVFRONT_DEADLINE_S", "0.1", "deadline_s"),
        ("kvfront", "KVFRONT_HINT_FLUSH_S", "often", "KVFRONT_HINT_FLUSH_S"),
        ("kvfront", "KVFRONT_MIN_IN_SYNC", "0", "min_in_sync"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_its_name(
    store: Store, tmp_path: Path, service: str, variable: str, value: str, reason: str
) -> None:
    environment = (
        store.environment() | {"KVSTORE_DATA_DIR": str(tmp_path)}
        if service == "kvstore"
        else store.environment()
    )
    done = ran([PROGRAM, service], environment | {variable: value})
    assert done.returncode == 2
    assert reason in done.stderr


def test_a_second_replica_on_the_same_disk_is_refused(store: Store) -> None:
    environment = store.environment() | {"KVSTORE_DATA_DIR": str(store.data["r1"]), "KVSTORE_NAME": "again"}
    done = ran([PROGRAM, "kvstore"], environment)
    assert done.returncode != 0
    assert "in use" in done.stderr + done.stdout
