"""A log line never fails whoever writes it, whatever it is about."""

from __future__ import annotations

import json

import pytest

from dronedispatch.runtime.logs import _to_json


class Wordless:
    def __repr__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("caf\udce9", "caf\\udce9"),  # a byte of a header, a file's name or a peer's error that is no UTF-8
        (["caf\udce9"], "['caf\\udce9']"),
        (Wordless(), "a Wordless without words"),
    ],
)
def test_what_cannot_be_written_as_it_is_is_described(value: object, said: str) -> None:
    line = json.loads(_to_json(None, "", {"event": "it happened", "of": value, "number": 3}))
    assert line == {"event": "it happened", "of": said, "number": 3}
