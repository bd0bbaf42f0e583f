"""How a record lies on disk: crc32 (4 bytes, big-endian) of everything behind it, then the record as msgpack."""

from __future__ import annotations

import struct
import zlib

import msgspec

from dronedispatch.kv.record import Record
from dronedispatch.kvstore.core.txn import DamagedRecord

_CRC = struct.Struct(">I")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


def encode(record: Record) -> bytes:
    """The bytes to store for `record`."""
    body = _encode(record)
    return _CRC.pack(zlib.crc32(body)) + body


def decode(key: str, stored: bytes) -> Record:
    """The record in `stored`. Raises DamagedRecord when the checksum does not fit."""
    body = stored[4:]
    if not body or zlib.crc32(body) != _CRC.unpack_from(stored)[0]:
        raise DamagedRecord(key)
    try:
        return _decode(body)
    except msgspec.MsgspecError as error:
        raise DamagedRecord(key) from error


def fingerprint(stored: bytes) -> bytes:
    """Equal for two sound records of a key if and only if they are the same one; of a damaged one like no other's.

    A joiner's digest looks at every record while writers wait, so this decodes nothing: version and write id are among the
    first bytes, and the checksum stands for the rest.
    """
    if len(stored) < 5:
        return b"damaged"
    return stored[:48] if zlib.crc32(stored[4:]) == _CRC.unpack_from(stored)[0] else b"damaged"
