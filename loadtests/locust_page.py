"""Locust's own extension points: the tab, and the report that its web UI hands out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from flask import Response, request
from loadtests import slo
from loadtests.verdict_page import COLUMNS, rows, with_verdict
from locust.env import Environment

KEY = "slo"

Said = Callable[[], tuple[str, Sequence[slo.Line]]]


def add_tab(environment: Environment, said: Said) -> None:
    """By Locust's own extension points. `said`: the sentence and the lines as of now."""
    page = environment.web_ui
    if page is None or page.app is None:
        return
    structure = [{"key": key, "title": title} for key, title in COLUMNS]
    page.template_args["extended_tabs"] = [{"title": "SLO verdict", "key": KEY}]
    page.template_args["extended_tables"] = [{"key": KEY, "structure": structure}]

    def extend(answer: Response) -> Response:
        if answer.status_code != 200:
            return answer
        if request.path.endswith("/stats/requests"):
            body = dict(answer.get_json(), extended_stats=[{"key": KEY, "data": rows(*said())}])
            answer.set_data(json.dumps(body))
        elif request.path.endswith("/stats/report"):
            answer.set_data(with_verdict(answer.get_data(as_text=True), *said()))
        return answer

    page.app.after_request(extend)
