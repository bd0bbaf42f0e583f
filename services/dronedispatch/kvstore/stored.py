"""How a record lies on disk: crc32 (4 bytes, big-endian) of everything behind it, then the record as msgpack."""

from __future__ import annotations

import struct
import zlib

import msgspec

from dronedispatch.kv.record import Record

_CRC = struct.Struct(">I")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


class Damaged(Exception):
    """The bytes on disk are not those that were written (checksum); `key` must be refilled from another replica."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.reason = reason


def encode(record: Record) -> bytes:
    """The bytes to store for `record`."""
    body = _encoder.encode(record)
    return _CRC.pack(zlib.crc32(body)) + body


def decode(key: str, stored: bytes) -> Record:
    """The record in `stored`. Raises Damaged when the checksum does not fit."""
    if len(stored) < 5:
        raise Damaged(key, f"only {len(stored)} bytes on disk")
    body = stored[4:]
    if zlib.crc32(body) != _CRC.unpack_from(stored)[0]:
        raise Damaged(key, "checksum does not fit")
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise Damaged(key, f"not a record: {error}") from error
