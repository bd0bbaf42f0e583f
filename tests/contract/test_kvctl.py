"""The operator's tool against a real store."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import ran
from support.store_parts import PROGRAM, Store, running_store
from support.waiting import wait_until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with running_store(tmp_path_factory.mktemp("store"), rf=2, replicas=3, fronts=1) as running:
        yield running


def test_help_shows_examples() -> None:
    done = subprocess.run(
        [PROGRAM, "kvctl", "--help"], capture_output=True, text=True, check=True, timeout=600
    )
    assert "dronedispatch kvctl bootstrap --rf 2" in done.stdout
    assert "dronedispatch kvctl export" in done.stdout


def test_an_unknown_verb_is_a_wrong_call(store: Store) -> None:
    assert "invalid choice" in store.kvctl("explode", code=2)


def test_a_second_bootstrap_finds_the_first(store: Store) -> None:
    assert "there is a view already" in store.kvctl("bootstrap", "--rf", "2")


def test_the_view_is_a_table_of_all_replicas(store: Store) -> None:
    printed = store.kvctl("view", "--slots")
    assert all(name in printed for name in ("r1", "r2", "r3", "rf 2", "slot 63"))


def test_without_a_token_living_replicas_are_not_called_dead(store: Store) -> None:
    environment = {name: value for name, value in store.environment().items() if name != "STORE_TOKEN_FILE"}
    done = ran(store.host("consul").command(PROGRAM, "kvctl", "view"), environment)
    assert done.returncode == 1
    assert "wants the store's token" in done.stderr
    assert "does not answer" not in done.stdout + done.stderr


def test_a_value_is_put_read_compared_and_deleted(store: Store) -> None:
    version = store.kvctl("put", "a key", "hello", "--tag", "colour=red").strip()
    printed = store.kvctl("get", "a key")
    assert "hello" in printed
    assert f"version {version}" in printed
    assert "is stored there, not 9.9" in store.kvctl("cas", "a key", "no", "--expected", "9.9", code=1)
    store.kvctl("cas", "a key", "yes", "--expected", version)
    assert store.kvctl("scan", "--tag", "colour=red").split("\n") == [""]
    assert "yes" in store.kvctl("get", "a key")
    store.kvctl("delete", "a key")
    assert "absent" in store.kvctl("get", "a key", code=1)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("put", "k", "v", "--tag", "nonsense"), "is not name=value"),
        (("cas", "k", "v", "--expected", "one"), "not a version"),
        (("put", "x" * 401, "v"), "at most 400"),
        (("put", "k", "@/no/such/file"), "No such file"),
        (("move", "99", "--to", "r1"), "0 to 63"),
        (("move", "1", "--to", "nobody"), "no kvstore named nobody"),
        (("drain", "nobody"), "does not know nobody"),
        (("rebalance", "--rf", "9"), "needs as many replicas"),
        (("recover", "--accept-loss", "3"), "is not lost"),
        (("import", "/no/such/file"), "No such file"),
    ],
)
def test_what_cannot_be_done_says_why(store: Store, words: tuple[str, ...], reason: str) -> None:
    assert reason in store.kvctl(*words, code=1)


def test_a_lock_prints_its_token_and_excludes_others(store: Store) -> None:
    token = store.kvctl("lock", "acquire", "nightly", "--owner", "me").strip()
    assert "held by me" in store.kvctl("lock", "acquire", "nightly", "--owner", "you", code=1)
    store.kvctl("lock", "renew", "nightly", "--owner", "me", "--token", token)
    store.kvctl("lock", "release", "nightly", "--owner", "me", "--token", token)
    store.kvctl("lock", "acquire", "nightly", "--owner", "you")


def test_export_and_import_bring_every_value_back(store: Store, tmp_path: Path) -> None:
    lines = [{"key": f"x{n:04d}", "value": f"value {n}", "tags": ["n=1"]} for n in range(1_200)]
    lines.append({"key": "x-binary", "value_base64": "/wA="})
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert "imported 1201 values" in store.kvctl("import", str(tmp_path / "in.jsonl"))
    assert "exported 1201 values" in store.kvctl("export", str(tmp_path / "out.jsonl"), "--prefix", "x")
    brought = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {line["key"]: line.get("value") for line in brought} == {
        str(line["key"]): line.get("value") for line in lines
    }
    assert "1201 were there already" in store.kvctl("import", str(tmp_path / "in.jsonl"), "--missing")
    assert len(store.kvctl("scan", "--prefix", "x", "--limit", "700").split()) == 700
    assert store.kvctl("scan", "--prefix", "x", "--limit", "1", "--reverse").strip() == "x1199"


def test_a_malformed_line_is_named_by_its_number(store: Store, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"key": "ok", "value": "v"}\n{"key": "two values", "value": 3}\n')
    assert "line 2" in store.kvctl("import", str(tmp_path / "in.jsonl"), code=1)


def test_verify_finds_that_the_replicas_agree(store: Store) -> None:
    assert "all replicas agree" in store.kvctl("verify")


def test_without_a_view_recover_brings_back_the_newest_that_a_replica_kept(store: Store) -> None:
    store.kvctl("put", "kept", "safe")
    before = store.epoch()
    wait_until(
        lambda: all(store.state(name)["epoch"] == before for name in store.data), "all have seen the view"
    )
    store.delete_view()
    assert "already served in one" in store.kvctl("bootstrap", "--rf", "2", code=1)
    assert "recovered" in store.kvctl("recover")
    assert store.epoch() > before
    wait_until(lambda: store.get("f1", "/health") is not None, "the coordinator is ready")
    assert "safe" in store.kvctl("get", "kept")
    assert "nothing to recover" in store.kvctl("recover")
