"""What a replica must never forget about itself, beside the records: the promises it has given."""

from __future__ import annotations

import msgspec

STATE_KEY = "state"
LAST_VIEW_KEY = "last_view"


class State(msgspec.Struct, frozen=True):
    """`floor`: no request of an epoch below is carried out. `published`: the highest epoch seen in a request.

    `cluster` is empty until a view has named this disk. `joining`: slots that are being filled and answer nothing.
    `was`: the disk that this one is a complete copy of, until a record changes.
    """

    cluster: str = ""
    floor: int = 0
    published: int = 0
    joining: tuple[int, ...] = ()
    was: str = ""


def encode_state(state: State) -> bytes:
    """The bytes for the meta database."""
    return msgspec.msgpack.encode(state)


def decode_state(stored: bytes | None) -> State:
    """The state in `stored` (None: a new disk). Raises ValueError for anything else: such a disk must not answer."""
    return State() if stored is None else msgspec.msgpack.decode(stored, type=State)
