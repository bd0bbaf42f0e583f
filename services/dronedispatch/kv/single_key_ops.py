"""get, put, cas and delete of one key, for whoever can do a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Unpack

from dronedispatch.kv.client import Cas, Delete, Get, Item, Op, OpResult, PairResult, Put, WriteOptions
from dronedispatch.kv.errors import KVError, Unavailable
from dronedispatch.kv.validation import check_op
from dronedispatch.kv.version import Version

NOT_BEGUN = "the write before it is not stored"


class SingleKeyOps(ABC):
    """The single-key half of a KVClient over `batch`, whose one result is returned or raised."""

    @abstractmethod
    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        """See KVClient."""

    async def get(self, key: str) -> Item | None:
        """See KVClient."""
        found = await self._one(Get(key))
        assert found is None or isinstance(found, Item)
        return found

    async def put(self, key: str, value: bytes, **options: Unpack[WriteOptions]) -> Version:
        """See KVClient."""
        return _version(await self._one(Put(key, value, **options)))

    async def cas(
        self, key: str, expected: Version | None, value: bytes, **options: Unpack[WriteOptions]
    ) -> Version:
        """See KVClient."""
        return _version(await self._one(Cas(key, expected, value, **options)))

    async def delete(self, key: str, expected: Version | None = None) -> None:
        """See KVClient."""
        await self._one(Delete(key, expected))

    async def pair(self, first: Put | Cas, second: Put | Cas) -> PairResult:
        """See KVClient. Raises Refused, if either breaks a limit: nothing is written."""
        check_op(first)
        check_op(second)
        (written,) = await self.batch((first,))
        if isinstance(written, KVError):
            return not_begun(written)
        (then,) = await self.batch((second,))
        return _version(written), then if isinstance(then, KVError) else _version(then)

    async def _one(self, op: Op) -> OpResult:
        check_op(op)
        (result,) = await self.batch((op,))
        if isinstance(result, KVError):
            raise result
        return result


def not_begun(first: KVError) -> PairResult:
    """What becomes of a pair whose first write ended so."""
    return first, Unavailable(NOT_BEGUN)


def _version(result: OpResult) -> Version:
    assert isinstance(result, Version)
    return result
