"""What every plot of a benchmark has: axes to draw on, and a PNG at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def picture(path: Path, rows: int, columns: int, size: tuple[float, float], **how: Any) -> Iterator[Any]:
    """The axes of `rows` x `columns` plots for the block; then the file is written."""
    import matplotlib as mpl  # here, so that --help and a run without a plot do without it

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(rows, columns, figsize=size, layout="constrained", **how)
    yield axes
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
