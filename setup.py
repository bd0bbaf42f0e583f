"""The build: pure Python, or under DD_COMPILED=1 with the door's data plane as C extensions; the rest is in pyproject.toml.

docs/decisions/013-the-door-may-be-compiled.md says why, with figures. `scripts/release --compiled` sets the variable.
"""

from __future__ import annotations

import os

from setuptools import Extension, setup

ROOMS = {
    "lb/core": (
        "access answers balance buckets chunked counters crowd ejection forward heads identity request_life "
        "retry upload"
    ),
    "lb": (
        "access_log accounting admission attempt backends connections downstream proxied_request proxy_core"
    ),
    "runtime/http": "connection pool whole_response",
}
COMPILED = [
    f"services/dronedispatch/{room}/{name}.py" for room, names in ROOMS.items() for name in names.split()
]


def extensions() -> list[Extension]:
    """None, unless they are asked for: mypyc and a C compiler are needed then."""
    if os.environ.get("DD_COMPILED") != "1":
        return []
    from mypyc.build import mypycify

    return mypycify(COMPILED, opt_level="3", debug_level="0", group_name="dronedispatch_door")


setup(ext_modules=extensions())
