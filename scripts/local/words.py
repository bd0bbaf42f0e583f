"""Types of argparse for numbers and lists: a wrong word is refused before anything is done, with the option's name."""

from __future__ import annotations

import argparse
import math
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T", int, float)
V = TypeVar("V")


def between(kind: Callable[[str], T], least: T, most: T) -> Callable[[str], T]:
    """From `least` to `most`, both allowed."""

    def number(text: str) -> T:
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be {least:g} to {most:g}, not {text}")
        return value

    return number


def positive(kind: Callable[[str], T]) -> Callable[[str], T]:
    """More than nothing, and finite."""

    def number(text: str) -> T:
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"must be more than 0, not {text}")
        return value

    return number


def listed(kind: Callable[[str], V]) -> Callable[[str], tuple[V, ...]]:
    """Several of `kind` with commas between them; an empty text is none."""

    def several(text: str) -> tuple[V, ...]:
        try:
            return tuple(kind(word) for word in text.split(",") if text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return several


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """One of `names`, by its name."""

    def name(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"must be of {', '.join(names)}, not {text!r}")
        return text

    return name


def a_wheel(text: str) -> Path:
    """A wheel of ours: an archive that is there, and has a load balancer in it."""
    try:
        with zipfile.ZipFile(text) as wheel:
            wheel.getinfo("dronedispatch/lb/app.py")
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise argparse.ArgumentTypeError(f"{text} is no wheel of a release: {error}") from error
    return Path(text)
