"""Which system a command means: its door, its operator's token, its home."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from cyclopts import Parameter

from dronedispatch.runtime.home import HOME_VARIABLE, HomeFound, NoHome, find_home, home_folder, needed_home
from dronedispatch.tool.errors import ToolError, WrongUse

URL_DEFAULT = "http://127.0.0.1:8080"
TIMEOUT_S_MAX = 600.0


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Target:
    """What every command can be told."""

    home: Annotated[
        Path | None,
        Parameter(help="the system's home: finds address and tokens (default: DD_HOME, or .run)"),
    ] = None
    url: Annotated[
        str | None, Parameter(help="the system's address, instead of a home's (default: DD_URL)")
    ] = None
    token_file: Annotated[
        Path | None,
        Parameter(help="a file with the operator's token (default: the home's, or OPERATOR_TOKEN)"),
    ] = None
    output: Annotated[Literal["table", "json"], Parameter(name=["--output", "-o"], help="table or json")] = (
        "table"
    )
    timeout: Annotated[float, Parameter(help="seconds to wait for an answer, with all retries")] = 20.0

    @property
    def json(self) -> bool:
        """For programs."""
        return self.output == "json"


@dataclass(frozen=True, slots=True)
class ResolvedTarget:
    """`home`: None when the system was named by an address, or is another machine's."""

    url: str
    token: str | None
    home: HomeFound | None
    timeout_s: float


def found(target: Target, environ: Mapping[str, str] = os.environ) -> ResolvedTarget:
    """The system that `target` names. Raises WrongUse, or ToolError when the home that was named is none."""
    if not 0 < target.timeout <= TIMEOUT_S_MAX:
        raise WrongUse(f"--timeout {target.timeout:g} is not above 0 and at most {TIMEOUT_S_MAX:g}")
    named = target.home is not None or HOME_VARIABLE in environ
    url = target.url if target.home is not None else target.url or environ.get("DD_URL")
    folder = home_folder(target.home, environ)
    try:
        home = needed_home(folder) if named else find_home(folder)
    except NoHome as error:
        raise ToolError(str(error)) from error
    if url is not None and target.home is None:
        home = None  # somebody else's system: the token of a home that was not typed with it is not for it
    address = url or (home.url if home else URL_DEFAULT)
    _check_url(address)
    return ResolvedTarget(address.rstrip("/"), _token(target, home, environ), home, target.timeout)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or parts.username or parts.query or parts.fragment:
        raise WrongUse(f"--url {url} is no address such as {URL_DEFAULT}")


def _token(target: Target, home: HomeFound | None, environ: Mapping[str, str]) -> str | None:
    if target.token_file is not None:
        return _read(target.token_file)
    if token := environ.get("OPERATOR_TOKEN"):
        return token
    if name := environ.get("OPERATOR_TOKEN_FILE"):
        return _read(Path(name))
    if home is None or not home.token_file("operator").exists():
        return None
    return _read(home.token_file("operator"))


def _read(path: Path) -> str:
    try:
        token = Path(os.path.expanduser(path)).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ToolError(f"the token file {path} cannot be read: {reason}") from error
    if not token or any(not "!" <= letter <= "~" for letter in token):
        raise ToolError(f"the token file {path} holds no token")
    return token
