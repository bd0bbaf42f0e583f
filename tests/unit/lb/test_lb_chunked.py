"""Chunked bodies: the same payload however they are cut, and nothing that another reader could read differently."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronedispatch.lb.core.chunked import ChunkedBody
from dronedispatch.lb.core.heads import CHUNKED, Refusal
from dronedispatch.lb.core.upload import Upload


def encode(chunks: list[bytes], extension: bytes = b"", trailer: bytes = b"") -> bytes:
    parts = [b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks if chunk]
    return b"".join(parts) + b"0\r\n" + trailer + b"\r\n"


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


@given(
    chunks=st.lists(st.binary(max_size=40), max_size=6),
    cuts=st.lists(st.integers(0, 10_000), max_size=12),
    beyond=st.binary(max_size=20),
    extension=st.sampled_from([b"", b";a", b";a=b", b' ;a="b c"']),
    trailer=st.sampled_from([b"", b"X: 1\r\n", b"X: 1\r\nY:\r\n"]),
)
def test_a_body_reads_the_same_however_it_is_cut(
    chunks: list[bytes], cuts: list[int], beyond: bytes, extension: bytes, trailer: bytes
) -> None:
    body = ChunkedBody()
    payload, rest = b"", b""
    for piece in cut(encode(chunks, extension, trailer) + beyond, cuts):
        if body.done:
            rest += piece
            continue
        pieces, over = body.feed(piece)
        payload += b"".join(pieces)
        rest += over
    assert body.done
    assert payload == b"".join(chunks)
    assert rest == beyond


@pytest.mark.parametrize(
    "wire",
    [
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"g\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloX0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"4\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\r\n0\n\n",
        b"5;\x00\r\nhello\r\n",
        b"5;a\rb\r\nhello\r\n",
        b"5;" + b"a" * 300 + b"\r\nhello\r\n",
        b"1" * 17 + b"\r\n",
        b"0\r\nno trailer\r\n\r\n",
        b"0\r\nX : 1\r\n\r\n",
        b"0\r\nX: 1\n\r\n",
        b"0\r\n" + b"X: 1\r\n" * 2000 + b"\r\n",
        b"0\r\nX: " + b"a" * 300,
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_chunk_that_two_readers_could_read_differently_is_refused(wire: bytes, at_once: bool) -> None:
    pieces = [wire] if at_once else [wire[place : place + 1] for place in range(len(wire))]
    body = ChunkedBody()
    with pytest.raises(Refusal) as refused:
        [body.feed(piece) for piece in pieces]
    assert refused.value.status == 400


@given(payload=st.binary(min_size=1, max_size=200), cuts=st.lists(st.integers(0, 1000), max_size=8))
def test_an_upload_of_a_length_passes_through_and_is_kept(payload: bytes, cuts: list[int]) -> None:
    upload = Upload(len(payload), 1000)
    out = b"".join(upload.feed(piece)[0] for piece in cut(payload, cuts))
    assert upload.done
    assert out == payload == b"".join(upload.kept or [])
    assert upload.bytes_in == len(payload)


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    cuts=st.lists(st.integers(0, 1000), max_size=8),
)
def test_a_chunked_upload_is_framed_anew(chunks: list[bytes], cuts: list[int]) -> None:
    upload = Upload(CHUNKED, 1000)
    out = b"".join(upload.feed(piece)[0] for piece in cut(encode(chunks, b";x=y", b"T: 1\r\n"), cuts))
    again = ChunkedBody()
    pieces, rest = again.feed(out)
    assert upload.done
    assert again.done
    assert b"".join(pieces) == b"".join(chunks)
    assert rest == b""
    assert b";" not in out.replace(b"".join(chunks), b"") or b";" in b"".join(chunks)


def test_what_follows_a_body_is_given_back() -> None:
    assert Upload(3, 10).feed(b"abcGET /") == (b"abc", b"GET /")


def test_a_body_beyond_the_limit_is_refused_declared_or_not() -> None:
    with pytest.raises(Refusal) as declared:
        Upload(11, 10)
    with pytest.raises(Refusal) as found:
        Upload(CHUNKED, 10).feed(b"b\r\nhello world\r\n")
    assert (declared.value.status, found.value.status) == (413, 413)


def test_a_body_beyond_64_kib_is_forgotten_once_it_was_handed_on() -> None:
    upload = Upload(100_000, 100_000)
    upload.feed(b"x" * 65_536)
    upload.forget()
    assert upload.kept is not None
    upload.feed(b"x")
    upload.forget()
    assert upload.kept is None
