"""Settings: typed, named, checked at birth."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dronedispatch.runtime.settings import ProcessSettings, Secret, SettingsError, load, variables


@dataclass(frozen=True)
class Example:
    process: ProcessSettings = field(default_factory=ProcessSettings)
    rounds: int = 3
    share: float = 0.5
    on: bool = False
    name: str | None = None


def test_defaults_hold_when_nothing_is_set() -> None:
    assert load(Example, "EX", {}) == Example()


def test_every_type_is_parsed_from_its_variable() -> None:
    environ = {"EX_ROUNDS": "7", "EX_SHARE": "0.25", "EX_ON": "yes", "EX_NAME": "a", "EX_PORT": "81"}
    loaded = load(Example, "EX", environ)
    assert loaded == Example(ProcessSettings(port=81), 7, 0.25, True, "a")


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"EX_ROUNDS": "many"}, "EX_ROUNDS"),
        ({"EX_ON": "perhaps"}, "EX_ON"),
        ({"EX_RUONDS": "3"}, "EX_RUONDS"),
        ({"EX_LOG_LEVEL": "loud"}, "EX_LOG_LEVEL"),
        ({"EX_PORT": "70000"}, "70000"),
        ({"EX_HOST": "0.0.0.0"}, "advertise"),
        ({"STORE_TOKEN_FILE": "/does/not/exist"}, "STORE_TOKEN_FILE"),
    ],
)
def test_a_wrong_or_unknown_variable_is_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load(Example, "EX", environ)


def test_a_variable_of_another_service_is_none_of_ours() -> None:
    assert load(Example, "EX", {"EXTRA_ROUNDS": "x", "OTHER_ROUNDS": "y"}) == Example()


def test_a_secret_comes_from_its_file_and_never_prints_itself(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("  s3cret\n")
    loaded = load(Example, "EX", {"STORE_TOKEN_FILE": str(path)})
    assert loaded.process.store_token == Secret("s3cret")
    assert "s3cret" not in repr(loaded)


def test_the_token_that_nomad_hands_over_is_taken_and_a_file_goes_before_it(tmp_path: Path) -> None:
    handed = {"CONSUL_HTTP_TOKEN": "handed"}
    assert load(ProcessSettings, "EX", handed).consul_token == Secret("handed")
    (tmp_path / "token").write_text("filed\n", encoding="utf-8")
    both = handed | {"CONSUL_HTTP_TOKEN_FILE": str(tmp_path / "token")}
    found = load(ProcessSettings, "EX", both).consul_token
    assert found is not None
    assert found.value == "filed"


def test_no_other_secret_is_taken_from_the_environment_itself() -> None:
    assert load(ProcessSettings, "EX", {"STORE_TOKEN": "open"}).store_token is None


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("\n")
    with pytest.raises(SettingsError, match="empty"):
        load(Example, "EX", {"OPERATOR_TOKEN_FILE": str(path)})


def test_under_nomad_the_job_registers_and_elsewhere_the_service_does() -> None:
    assert load(Example, "EX", {}).process.registers_itself
    assert not load(Example, "EX", {"NOMAD_ALLOC_ID": "a1"}).process.registers_itself
    assert load(Example, "EX", {"NOMAD_ALLOC_ID": "a1", "EX_REGISTRATION": "self"}).process.registers_itself
    assert not load(Example, "EX", {"EX_REGISTRATION": "off"}).process.registers_itself


def test_the_list_of_variables_names_nested_and_shared_ones() -> None:
    names = set(variables(Example, "EX"))
    assert {"EX_ROUNDS", "EX_PORT", "CONSUL_HTTP_ADDR", "STORE_TOKEN_FILE"} <= names
