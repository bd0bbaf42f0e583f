"""Job files as text, and whose value wins."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.cluster.jobfile import JobFile, JobFileError, Variable, literal, read_values
from scripts.cluster.values import Values

TEXT = """variable "release" {
  description = "default = none"
  type        = string
  default     = "current"
}

variable "instances" {
  type    = number
  default = 3

  validation {
    condition = var.instances > 0
  }
}

job "gateway" {
  default = "untouched"
}
"""
JOB = JobFile("gateway", TEXT)


def test_variables_are_read_with_their_types_and_defaults() -> None:
    assert JOB.variables == {
        "release": Variable("release", "string", '"current"'),
        "instances": Variable("instances", "number", "3"),
    }


def test_filling_changes_the_default_of_that_variable_and_nothing_else() -> None:
    assert JOB.filled({"instances": "5"}).text == TEXT.replace("default = 3", "default = 5")
    assert JOB.filled({}).text == TEXT


def test_a_value_with_a_backslash_arrives_as_it_is() -> None:
    assert JOB.filled({"release": r'"a\1b"'}).variables["release"].literal == r'"a\1b"'


def test_an_unknown_variable_names_the_known_ones() -> None:
    with pytest.raises(JobFileError, match="gateway has no variable 'size'; it has instances, release"):
        JOB.filled({"size": "1"})


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        ("string", 'say "hi"', '"say \\"hi\\""'),
        ("number", "2.5", "2.5"),
        ("bool", "true", "true"),
        ("list(string)", "dc1, dc2", '["dc1", "dc2"]'),
    ],
)
def test_typed_text_becomes_hcl(kind: str, text: str, wanted: str) -> None:
    assert literal(Variable("x", kind, ""), text) == wanted


def test_a_template_in_a_value_is_refused() -> None:
    with pytest.raises(JobFileError, match="plain text, not a template"):
        literal(Variable("release", "string", ""), "${file(1)}")


def test_what_was_typed_beats_what_runs_beats_the_file() -> None:
    running = {"Meta": {"release": "0.2.0"}}
    shared = Values({"release": '"0.1.0"', "instances": "2"})
    assert shared.of(JOB) == {"release": '"0.1.0"', "instances": "2"}
    assert shared.of(JOB, running)["release"] == '"0.2.0"'
    typed = Values(shared.shared, ((None, "release", "0.3.0"), ("lb", "instances", "9")))
    assert typed.of(JOB, running) == {"release": '"0.3.0"', "instances": "2"}


def test_a_line_that_is_no_assignment_is_named(tmp_path: Path) -> None:
    path = tmp_path / "vars.hcl"
    path.write_text('# a comment\nrelease = "x" # why\nnonsense\n', encoding="utf-8")
    with pytest.raises(JobFileError, match=r"vars\.hcl:3: expected `name = value`, found 'nonsense'"):
        read_values(path)
