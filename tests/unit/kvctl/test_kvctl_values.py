"""What kvctl prints of a value is the whole value."""

from __future__ import annotations

import io

from dronedispatch.kvctl.values import write_whole


class Narrow(io.BytesIO):
    """A pipe that has room for 1,000 bytes at a time."""

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        return super().write(data[:1000])


def test_a_value_that_is_larger_than_the_pipe_is_written_whole() -> None:
    out, value = Narrow(), bytes(range(256)) * 40
    write_whole(out, value)
    assert out.getvalue() == value
    write_whole(out, b"")
    assert out.getvalue() == value
