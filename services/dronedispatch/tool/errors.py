"""How a command of the tool ends when it does not do what was asked: a few lines, an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WRONG_USE, FAILED, UNKNOWN = 2, 1, 4


class ToolError(Exception):
    """The message is for people: what is so, and what to type."""

    code = FAILED


class WrongUse(ToolError):
    """What was typed cannot be meant."""

    code = WRONG_USE


class NobodyAnswers(ToolError):
    """Nobody took the request: it certainly did nothing."""


class OutcomeNotKnown(ToolError):
    """The request may have been carried out, and nobody has said so."""

    code = UNKNOWN


class ApiRefused(ToolError):
    """The API has answered with a problem document: it did nothing."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(sentence(status, problem))
        self.status = status
        self.problem = problem


def sentence(status: int, problem: Mapping[str, Any]) -> str:
    """Title and detail in a line, and a line for each further field that is wrong."""
    title = str(problem.get("title") or f"the system answers {status}")
    detail = str(problem.get("detail") or "")
    listed = problem.get("errors")
    errors = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    lines = [f"{title}: {detail}" if detail and detail != title else title]
    if len(errors) > 1:
        lines = [title, *(f"  {_error(one)}" for one in errors)]
    if now := problem.get("status_now"):
        lines.append(f"  it is {now} now")
    if status == 401:
        lines.append("  name the operator's token: --home DIR, --token-file FILE, or OPERATOR_TOKEN")
    if (request_id := problem.get("request_id")) and status >= 500:
        lines.append(f"  request {request_id}")
    return "\n".join(lines)


def _error(one: Mapping[str, Any]) -> str:
    field, detail = str(one.get("field", "")), str(one.get("detail", ""))
    return detail if not field or detail.startswith(field) else f"{field}: {detail}"
