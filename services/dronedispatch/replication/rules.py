"""The sixteen rules that must not be dropped, as switches for the simulation alone.

Production never builds a `Rules`: every function of the core takes `rules=ALL` as its default. The simulation
switches one off and shows that its checker notices, so that a rule which has quietly stopped working cannot pass
for one that works.
"""

from __future__ import annotations

from typing import NamedTuple


class Rules(NamedTuple):
    """True: the rule is in force. The order is the numbering of docs/protocol.md."""

    promise_before_grow: bool = True  # 1: JOIN 2
    refuse_older_epoch: bool = True  # 2: R2
    floor_survives_restart: bool = True  # 3: R3
    floor_checked_in_transaction: bool = True  # 4: R1 to R5
    failed_cas_written_back: bool = True  # 5
    read_written_back: bool = True  # 6
    read_asks_all: bool = True  # 7: all members, not one
    read_not_primary_only: bool = True  # 8
    voted_out_before_ack: bool = True  # 9
    never_promote_stale: bool = True  # 10
    disk_identity_checked: bool = True  # 11: R1
    no_second_apply: bool = True  # 12
    since_checked: bool = True  # 13: in FINISH
    finish_by_reading: bool = True  # 14
    purge_under_fence: bool = True  # 15
    join_authoritative: bool = True  # 16


ALL = Rules()


def without(number: int) -> Rules:
    """All rules but rule `number` (1..16); 0: all of them. Raises ValueError for any other number."""
    if number == 0:
        return ALL
    if not 1 <= number <= len(Rules._fields):
        raise ValueError(f"there is no rule {number}: 1..{len(Rules._fields)}")
    return ALL._replace(**{Rules._fields[number - 1]: False})
