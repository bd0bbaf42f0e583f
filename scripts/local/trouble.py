"""What a person has to do something about."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from dronedispatch.runtime import output

_DISK_FAILS = {errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE}
_DISK_FAILS.add(getattr(errno, "EUCLEAN", errno.EIO))  # Linux's: the file system contradicts itself


class Trouble(Exception):
    """One clear sentence about what is wrong, and what to do. A command prints it and ends with exit code 1."""


def from_os_error(error: OSError, home: Path) -> Trouble:
    """The sentence for an error of the operating system that met us while we worked in `home`."""
    if error.errno == errno.ENOSPC:
        return Trouble(
            f"the disk that holds {home} is full: free 1 GB there, or choose another place with --home DIR"
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        name = error.filename or home
        return Trouble(
            f"no right to read or write {name}: give yourself that right, or choose another place with --home DIR"
        )
    if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.EEXIST} and not home.is_dir():
        return Trouble(f"{home} cannot be a home ({error.strerror}): choose another place with --home DIR")
    if error.errno in _DISK_FAILS:
        return Trouble(
            f"the disk that holds {home} fails ({error.strerror}): dmesg names the cause; repair the disk, "
            "or choose another place with --home DIR"
        )
    return Trouble(f"the system refused ({error}): see {home}/logs")


def interruptible() -> None:
    """From now on the first Ctrl-C, SIGTERM or closed terminal raises KeyboardInterrupt; those after it break no tidying up.

    To be called again where one more is to be heard. SIGINT also where it was ignored at our start (a job in the background
    of a script); SIGHUP not there: that is nohup.
    """
    _on_interruption(_interrupt)


def _on_interruption(handler: Callable[[int, FrameType | None], None]) -> None:
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _on_interruption(_interrupt_no_more)
    raise KeyboardInterrupt


def _interrupt_no_more(_number: int, _frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):  # nobody reads it
        os.write(2, b"still tidying up\n")  # no print: a print may be what was interrupted


@contextlib.contextmanager
def not_interrupted() -> Iterator[None]:
    """An interruption waits until the block has ended: a child that was just started is known by then."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda given, _frame: came.append(given)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        handler = before[signal.Signals(came[0])]
        if callable(handler):
            handler(came[0], None)
        raise KeyboardInterrupt


def _tell(sentence: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it: `2>&1 | head`
        print(sentence, file=sys.stderr, flush=True)


def run_command(command: Callable[[], int], home: Callable[[], Path]) -> None:
    """Run a command's body; a Trouble or an OSError becomes its one sentence on stderr. Ends the process."""
    interruptible()
    output.ensure()
    try:
        code = command()
        sys.stdout.flush()
    except Trouble as trouble:
        _tell(f"error: {trouble}")
        code = 1
    except ModuleNotFoundError as missing:  # scripts/up alone does not bring what tests and benchmarks import
        _tell(f"error: {missing.name} is not installed: run scripts/install-tools --dev")
        code = 1
    except BrokenPipeError:  # `| head` has read enough
        output.drop()
        code = 128 + signal.SIGPIPE
    except OSError as error:
        sentence = str(from_os_error(error, home()))
        if error.filename is None and output.takes_nothing():
            output.drop()
            sentence = f"standard output takes nothing ({error.strerror}): write to another place"
        _tell(f"error: {sentence}")
        code = 1
    except KeyboardInterrupt as interrupted:  # with what is left to do, where something is
        _tell(": ".join(["interrupted", *map(str, interrupted.args)]))
        code = 130
    raise SystemExit(code)
