"""Locust's own extension points: the tab, and the report that its web UI hands out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from flask import Response, request
from loadtests import slo
from loadtests.verdict_page import COLUMNS, rows, with_verdict
from locust.env import Environment
from locust.runners import STATE_RUNNING

KEY = "slo"

Said = Callable[[], tuple[str, Sequence[slo.Line]]]


def add_tab(environment: Environment, said: Said, judging: Callable[[], bool]) -> None:
    """By Locust's own extension points. `said`: the sentence and the lines as of now.

    `judging`: whether a test has ended and its verdict is still to come. The page asks for news only while it is told
    that a test runs, so it is told that until then: the last news that it asks for are the verdict.
    """
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
            to_come = judging()  # before `said`: or the verdict comes between the two, and is never asked for
            body = dict(answer.get_json(), extended_stats=[{"key": KEY, "data": rows(*said())}])
            if to_come:
                body["state"] = STATE_RUNNING
            answer.set_data(json.dumps(body))
        elif request.path.endswith("/stats/report"):
            answer.set_data(with_verdict(answer.get_data(as_text=True), *said()))
        return answer

    page.app.after_request(extend)
