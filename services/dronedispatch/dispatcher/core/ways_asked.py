"""Ways that several want to know, measured in one look-up: of a few, what a look-up costs is mostly that it is one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dronedispatch.fleet.paths import Paths

Array = npt.NDArray[np.float64]
Learn = Callable[[Array], None]


class WaysAsked:
    """`ask` for ways; `measure` tells each who asked how long his are."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._asked: list[tuple[Array, Array, Learn]] = []

    def ask(self, a: Array, b: Array, learn: Learn) -> None:
        """Pairwise: from a (n, 2) to b (n, 2); `learn` is called with the n lengths."""
        self._asked.append((a, b, learn))

    def measure(self) -> None:
        """All that were asked for."""
        asked, self._asked = self._asked, []
        if not asked:
            return
        ways_m = self._paths.lengths_m(
            np.concatenate([a for a, _, _ in asked]), np.concatenate([b for _, b, _ in asked])
        )
        begin = 0
        for a, _, learn in asked:
            learn(ways_m[begin : begin + len(a)])
            begin += len(a)
