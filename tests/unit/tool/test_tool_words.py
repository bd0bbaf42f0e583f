"""What the tool makes of what people type and of what the system says."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dronedispatch.cli import SERVICES
from dronedispatch.cli import main as start
from dronedispatch.tool import render
from dronedispatch.tool.api import Api
from dronedispatch.tool.app import NAMES, main
from dronedispatch.tool.diagnosis import Sights, diagnose, with_home
from dronedispatch.tool.errors import WrongUse, sentence
from dronedispatch.tool.events import _Follower, sentence_of
from dronedispatch.tool.orders import body_of, position
from dronedispatch.tool.sse import EventParser, StreamEvent
from dronedispatch.tool.system import ResolvedTarget, Target, found
from dronedispatch.tool.top import Glance, picture, reasons
from dronedispatch.tool.zone_diff import differences, same_city
from dronedispatch.tool.zones import read_city


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["orders", "place"], "--from"),
        (["orders", "place", "--from", "x", "--to", "1,2", "--weight", "1"], "LAT,LON"),
        (["orders", "place", "--from", "1,2", "--to", "1,2", "--weight", "heavy"], "heavy"),
        (["orders", "place", "--from", "95,2", "--to", "1,2", "--weight", "1"], "-90..90"),
        (["orders", "place", "--from", "1,2", "--to", "1,2", "--weight", "1", "--key", ""], "--key"),
        (["orders", "list", "--status", "lost"], "lost"),
        (["orders", "list", "--limit", "0"], "--limit"),
        (["orders", "get"], "parameter ORDER requires"),
        (["orders", "watch"], "parameter ORDER requires"),
        (["drones", "undrain"], "parameter DRONE requires"),
        (["events", "list"], "more words than it takes: list"),
        (["orders", "get", ""], "empty"),
        (["orders", "explode"], "explode"),
        (["orders", "list", "--no-such"], "--no-such"),
        (["orders", "watch", "X", "--within", "0"], "--within"),
        (["drones", "list", "--status", "asleep"], "asleep"),
        (["drones", "drain"], "drone"),
        (["zones", "apply"], "file"),
        (["zones", "apply", "/no/such/file"], "cannot be read"),
        (["events", "--topics", "gossip"], "gossip"),
        (["events", "--count", "0"], "--count"),
        (["events", "--after", "yesterday"], "yesterday"),
        (["top", "--every", "0"], "--every"),
        (["status", "gateway"], "--nomad"),
        (["logs", "--lines", "few"], "few"),
        (["logs", "--order", "X", "--follow"], "--follow"),
        (["dead-letters", "replay"], "--all"),
        (["dead-letters", "drop", "x", "--all"], "--all"),
        (["doctor", "--timeout", "0"], "--timeout"),
        (["orders", "list", "--url", "nowhere"], "nowhere"),
        (["orders", "list", "-o", "xml"], "xml"),
        (["completion", "tcsh"], "tcsh"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_one_sentence_and_code_2(
    words: list[str], names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert names.lower() in said.err.lower()
    assert len(said.err.splitlines()) == 1
    assert "─" not in said.err


def test_completion_knows_the_commands_and_is_a_script_that_bash_can_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in ("orders", "doctor", "undrain", "--if-match"))
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False, timeout=600).returncode == 0


@pytest.mark.parametrize(
    "words", [[name] for name in NAMES] + [["orders", "place"], ["zones", "apply"], ["drones", "drain"]]
)
def test_every_command_has_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    assert f"Usage: dronedispatch {' '.join(words)}" in capsys.readouterr().out


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_starter_has_help(service: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert start([service, "--help"]) == 0
    assert f"usage: dronedispatch {service}" in capsys.readouterr().out


def test_a_mistyped_command_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["order"]) == 2
    assert capsys.readouterr().err == (
        "dronedispatch: no command 'order': did you mean 'orders'? (see dronedispatch --help)\n"
    )


def test_an_option_before_its_command_is_told_where_it_belongs(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["-o", "json", "status"]) == 2
    assert capsys.readouterr().err == (
        "dronedispatch: -o stands after the command, as in: dronedispatch status -o json (see dronedispatch --help)\n"
    )


def test_a_home_that_is_none_is_told_with_what_makes_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["orders", "list", "--home", str(tmp_path)]) == 1
    assert f"scripts/up --home {tmp_path}" in capsys.readouterr().err


def test_an_address_is_not_given_the_token_of_the_default_home() -> None:
    assert found(Target(url="http://192.0.2.1:80/"), {}).token is None
    assert found(Target(url="http://192.0.2.1:80/"), {"OPERATOR_TOKEN": "t"}).token == "t"


def test_an_address_is_not_given_the_token_of_a_home_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "operator").write_text("secret", encoding="utf-8")
    (tmp_path / "system.json").write_text(
        '{"options": {"port_base": 9000, "listen": "127.0.0.1"}}', encoding="utf-8"
    )
    assert found(Target(), {"DD_HOME": str(tmp_path)}).token == "secret"
    assert found(Target(url="http://192.0.2.1:80/"), {"DD_HOME": str(tmp_path)}).token is None


def test_a_text_of_somebody_elses_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    render.print_json({"body": "a\x1b]52;\x9b1m\x7f"})
    told = capsys.readouterr().out
    assert not any(letter in told for letter in "\x1b\x9b\x7f")
    assert json.loads(told) == {"body": "a\x1b]52;\x9b1m\x7f"}


def test_an_event_of_somebody_elses_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    api = Api(ResolvedTarget("http://h", None, None, 1.0))
    follower = _Follower(api, "deliveries", Target(output="json"), 1, None)
    follower._tell(StreamEvent("delivery", json.dumps({"cause": "\x9b2J"}), "3-1"))
    told = capsys.readouterr().out
    assert "\x9b" not in told
    assert json.loads(told)["data"] == {"cause": "\x9b2J"}


def test_a_position_is_latitude_first() -> None:
    assert position("-33.9,151.2", "--from") == {"lat": -33.9, "lon": 151.2}
    with pytest.raises(WrongUse, match="in this order"):
        position("151.2,-33.9", "--from")
    assert "deadline" not in body_of("1,2", "3,4", 1.0, None, None)


def test_every_wrong_field_is_a_line() -> None:
    errors = [{"field": "weight", "detail": "weight: too much"}, {"field": "origin", "detail": "outside"}]
    problem = {"title": "ApiRefused", "detail": "weight: too much", "errors": errors}
    assert sentence(422, problem) == "ApiRefused\n  weight: too much\n  origin: outside"
    assert "OPERATOR_TOKEN" in sentence(401, {"title": "no token"})


def feature(name: str, kind: str = "zone", **more: Any) -> dict[str, Any]:
    properties = {"kind": kind, "id": name, **more}
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Point"}}


def test_a_difference_names_the_feature_and_what_has_changed() -> None:
    before = {"features": [feature("a"), feature("b", capacity=4), feature("c")]}
    after = {"features": [feature("d"), feature("b", capacity=5), feature("a")]}
    told = [(one.sign, one.id, one.what) for one in differences(before, after)]
    assert told == [("~", "b", "capacity 4 -> 5"), ("-", "c", ""), ("+", "d", "")]
    assert same_city(before, {"features": list(reversed(before["features"]))})


NO_CITY = ["{", "[]", '{"type": "Feature"}', '{"type": "FeatureCollection"}', "[" * 100_000]


@pytest.mark.parametrize("text", [*NO_CITY, '{"a": ' + "9" * 5_000 + "}"], ids=lambda text: text[:8])
def test_a_file_that_is_no_city_is_refused_before_anybody_is_asked(tmp_path: Path, text: str) -> None:
    (tmp_path / "city.json").write_text(text, encoding="utf-8")
    with pytest.raises(WrongUse):
        read_city(str(tmp_path / "city.json"))


def test_a_stream_is_resumed_after_the_last_whole_event() -> None:
    parser = EventParser()
    whole = ["event: delivery", "id: 3-1", "data: {}", ""]
    lines = [*whole, ": comment", "event: beat", "data: {}", "", "id: 3-2", "data: half"]
    told = [event for line in lines for event in parser.line(line)]
    assert told == [StreamEvent("delivery", "{}", "3-1"), StreamEvent("beat", "{}", "")]
    assert parser.last_id == "3-1"


def test_a_reset_is_said() -> None:
    assert sentence_of(StreamEvent("reset", "{}"), {"reason": "a gap"}).startswith("reset: a gap")


def test_what_the_system_tells_cannot_move_the_cursor() -> None:
    assert "\x1b" not in render.plain("a\x1b[2Jb")


WELL = Sights(
    health={"health": "healthy", "reasons": []}, ahead_s=0.5, processes=(), consul="", free_bytes=10**12
)


SHORT = {"health": "degraded", "reasons": [{"text": "t", "next": "dronedispatch kvctl recover"}]}


def process(name: str, **more: Any) -> dict[str, Any]:
    return {"process": name, "healthy": False, "degraded": False, "health": "gone", "reasons": []} | more


RESTARTED = process("lb-1", healthy=True, restarts=9)


def test_a_system_that_is_well_has_nothing_to_mend() -> None:
    assert diagnose(WELL) == []


@pytest.mark.parametrize(
    ("area", "seen", "command"),
    [
        ("door", Sights(door="no answer"), "scripts/logs lb --home H"),
        ("Consul", Sights(consul="no leader"), "scripts/logs consul --home H"),
        ("clock", Sights(ahead_s=-30.0), "chronyc"),
        ("disk", Sights(free_bytes=10**6, total_bytes=10**12), "du -sh H/data H/logs"),
        ("descriptors", Sights(descriptors={"lb-1": (950, 1024)}), "ulimit -n"),
        ("health", Sights(health=SHORT), "dronedispatch kvctl --home H recover"),
        ("broker", Sights(processes=(process("rabbitmq"),)), "scripts/logs rabbitmq --home H"),
        ("processes", Sights(processes=(RESTARTED,)), "scripts/logs lb-1 --home H"),
        ("processes", Sights(processes_trouble="no system runs"), "scripts/up --home H"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_thing_that_is_wrong_comes_with_the_next_command(area: str, seen: Sights, command: str) -> None:
    (one,) = diagnose(seen, " --home H")
    assert one.area == area
    assert command in one.next


def test_the_same_reason_of_many_is_told_once() -> None:
    told = ("slots are short -> kvctl view", "no answer for {} s -> scripts/status")
    rows = tuple(
        process(name, degraded=True, health="degraded", reasons=[reason.format(age) for reason in told])
        for name, age in (("a", 3), ("b", 41))
    )
    assert [one.what for one in diagnose(Sights(processes=rows))] == ["slots are short", "no answer for 3 s"]
    assert with_home("dronedispatch kvctl view", "") == "dronedispatch kvctl view"


def test_a_picture_that_is_old_says_so() -> None:
    counts = {
        "pending": 1,
        "assigned": 2,
        "in_progress": 3,
        "delivered": 4,
        "sample": 1,
        "drones": {"idle": 2},
    }
    means = {"orders_per_minute": 5, "to_assign_mean_s": None, "to_deliver_mean_s": 9.5, "speed": 1}
    figures = {"at": "2030-01-01T00:00:00Z", **counts, **means}
    screen = Console(file=io.StringIO(), width=120)
    screen.print(picture(Glance({"health": "healthy"}, figures, [], []), "http://h", 12.0, "no answer"))
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "STALE: as it was 12 s ago. no answer" in shown
    assert "http://h  was healthy  00:00:00 UTC" in shown
    assert "3 in the air" in shown


ORDER = ("01M8JJH0XK9F43MXD9E5CRA3KS", "in-progress", "drone-00012", "8.30 kg", "0", *["02:35:41"] * 3)
ORDERS = ("order", "status", "drone", "weight", "priority", "created", "expected", "ended")


@pytest.mark.parametrize(
    ("width", "gone"),
    [(101, ()), (100, ("priority",)), (90, ("priority", "weight")), (20, ("priority", "weight", "ended"))],
)
def test_a_table_on_a_narrow_screen_leaves_out_what_can_be_spared_and_says_so(
    width: int, gone: tuple[str, ...]
) -> None:
    spare = ("priority", "weight", "ended")
    assert render.left_out(ORDERS, [ORDER], spare, width) == gone
    screen = Console(file=io.StringIO(), width=max(width, 80))
    screen.print(render.table(ORDERS, [ORDER], spare=spare, width=width))
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert ORDER[0] in shown
    assert ("left out for want of width: " + ", ".join(gone) in shown) == bool(gone)


def test_the_head_of_a_live_picture_has_a_few_reasons_each_once() -> None:
    told = [{"text": f"no answer for {age} s", "next": "look"} for age in (1, 2)]
    told += [{"text": name, "next": "look"} for name in "abcd"]
    assert reasons({"reasons": told}, None)[0] == "no answer for 1 s -> look"
    assert reasons({"reasons": told}, 3)[1:] == ["a -> look", "3 more -> dronedispatch doctor"]
    assert len(reasons({"reasons": told}, 5)) == 5
