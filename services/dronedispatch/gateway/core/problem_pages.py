"""The pages behind the `type` of a problem document."""

from __future__ import annotations

from html import escape

from dronedispatch.gateway.core.problem_types import PAGES, PROBLEM_TYPES, ProblemType


def index_page() -> str:
    """All kinds, in the order of their status."""
    rows = "".join(
        f'<tr><td>{one.status}</td><td><a href="{one.uri}">{one.name}</a></td><td>{escape(one.title)}</td></tr>'
        for one in PROBLEM_TYPES
    )
    head = "<thead><tr><th scope=col>status</th><th scope=col>name</th><th scope=col>title</th></tr></thead>"
    return _page("Problems", f"<h1>Problems</h1><table>{head}<tbody>{rows}</tbody></table>")


def problem_page(kind: ProblemType) -> str:
    """One kind."""
    return _page(
        kind.title,
        f"<h1>{escape(kind.title)}</h1><p><code>{kind.uri}</code>, status {kind.status}</p>"
        f"<h2>What has happened</h2><p>{escape(kind.meaning)}</p><h2>What to do</h2><p>{escape(kind.remedy)}</p>",
    )


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} – DroneDispatch API</title>"
        '<link rel="icon" href="/dashboard/icon.svg" type="image/svg+xml">'
        '<link rel="stylesheet" href="/dashboard/css/theme.css"><link rel="stylesheet" href="/dashboard/css/docs.css">'
        '<script type="module" src="/dashboard/js/docs_theme.js"></script></head>'
        f'<body><main>{body}</main><footer><p><a href="{PAGES.rstrip("/")}">All problems</a> · '
        '<a href="/docs">API</a></p></footer>'
        "</body></html>"
    )
