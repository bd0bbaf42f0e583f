"""`dronedispatch events`: what happens, told in order, or that something is missing."""

from __future__ import annotations

import http.client
import json
import random
import re
import sys
import time
from typing import Annotated, Any

from cyclopts import Parameter

from dronedispatch.tool import render
from dronedispatch.tool.api import Api
from dronedispatch.tool.errors import ApiRefused, NobodyAnswers, OutcomeNotKnown, ToolError, WrongUse
from dronedispatch.tool.orders import NO_TARGET
from dronedispatch.tool.sse import EventParser, StreamEvent
from dronedispatch.tool.system import Target, found

TOPICS = ("delivery", "deliveries", "drones", "figures", "zones")
EVENT_ID = re.compile(r"\d{1,18}-\d{1,18}")
SILENCE_S = 5.0  # a gateway tells its beat each second: five without one, and it is frozen or gone
PAUSE_S_MAX = 5.0
LINE_BYTES_MAX = 16 * 1024 * 1024


def follow(
    *,
    topics: Annotated[
        str, Parameter(help=f"some of {','.join(TOPICS)}, with commas between")
    ] = "delivery,zones",
    after: Annotated[str | None, Parameter(help="go on after the event of this id")] = None,
    count: Annotated[int | None, Parameter(help="end after so many events")] = None,
    seconds: Annotated[float | None, Parameter(name="--for", help="end after so many seconds")] = None,
    target: Target = NO_TARGET,
) -> int:
    """Follow what happens until Ctrl-C; after an interruption it goes on where it was, or says `reset`."""
    unknown = [name for name in topics.split(",") if name not in TOPICS]
    if unknown:
        raise WrongUse(f"--topics: no topic {unknown[0]!r}: there are {', '.join(TOPICS)}")
    if after is not None and not EVENT_ID.fullmatch(after):
        raise WrongUse(f"--after {after} is no event's id, such as 27-196")
    if count is not None and count < 1:
        raise WrongUse(f"--count {count} is not at least 1")
    if seconds is not None and not seconds > 0:
        raise WrongUse(f"--for {seconds:g} is not above 0")
    end_s = None if seconds is None else time.monotonic() + seconds
    return _Follower(Api(found(target)), topics, target, count, end_s).run(after)


class _Follower:
    def __init__(self, api: Api, topics: str, target: Target, count: int | None, end_s: float | None) -> None:
        self._api = api
        self._topics = topics
        self._target = target
        self._left = count
        self._end_s = end_s
        self._failures = 0

    def run(self, after: str | None) -> int:
        parser, began, lost_s = EventParser(last_id=after or ""), False, 0.0
        while not self._over():
            try:
                if self._read(parser):
                    return 0
                why = "the stream was ended"
            except (NobodyAnswers, OutcomeNotKnown) as error:
                if not began and self._failures == 0 and not parser.last_id:
                    raise NobodyAnswers(str(error)) from error  # it was never there
                why = str(error)
            except ApiRefused as error:
                if error.status < 500:
                    raise
                why = str(error)
            began, now_s = True, time.monotonic()
            lost_s = now_s if self._failures == 0 else lost_s
            self._failures += 1
            if now_s - lost_s > max(60.0, self._api.system.timeout_s):
                after = f" --after {parser.last_id}" if parser.last_id else ""
                raise ToolError(f"{why}\ngo on later with: {self._api.next_command('events')}{after}")
            pause_s = min(PAUSE_S_MAX, 0.2 * 2 ** min(self._failures, 6)) * random.uniform(0.5, 1.0)
            said = f"{why.splitlines()[0]}; connecting again after event {parser.last_id or '(none)'}"
            sys.stderr.write(f"dronedispatch: {render.plain(said)}\n")
            time.sleep(pause_s)
        return 0

    def _read(self, parser: EventParser) -> bool:
        """One connection, until it breaks (an exception, or False) or we have seen enough (True)."""
        headers = {"Accept": "text/event-stream"}
        if parser.last_id:
            headers["Last-Event-ID"] = parser.last_id
        query = {"topics": self._topics}
        with self._api.opened("GET", "/events", query, None, headers, SILENCE_S * 2) as (
            response,
            connection,
        ):
            if response.status != 200:
                try:
                    body = response.read(65536)
                except (OSError, http.client.HTTPException) as error:
                    raise OutcomeNotKnown(f"{self._api.system.url} broke its refusal off") from error
                return self._refused(response.status, body)
            if connection.sock is not None:
                connection.sock.settimeout(SILENCE_S)
            while not self._over():
                try:
                    raw = response.readline(LINE_BYTES_MAX)
                except TimeoutError as error:
                    raise OutcomeNotKnown(
                        f"nothing from {self._api.system.url} for {SILENCE_S:g} s, not even a beat"
                    ) from error
                except (OSError, ValueError, http.client.HTTPException) as error:
                    raise OutcomeNotKnown(f"{self._api.system.url} broke the stream off") from error
                if not raw:
                    return False
                for event in parser.line(raw.decode("utf-8", "replace").rstrip("\r\n")):
                    self._failures = 0
                    self._tell(event)
        return True

    @staticmethod
    def _refused(status: int, body: bytes) -> bool:
        try:
            problem = json.loads(body)
        except ValueError:
            problem = {}
        raise ApiRefused(status, problem if isinstance(problem, dict) else {})

    def _over(self) -> bool:
        return self._left == 0 or (self._end_s is not None and time.monotonic() >= self._end_s)

    def _tell(self, event: StreamEvent) -> None:
        if event.name == "beat" or self._left == 0:
            return
        try:
            data = json.loads(event.data)
        except ValueError:
            data = {"unreadable": event.data}
        if self._target.json:
            render.print_json({"event": event.name, "id": event.id or None, "data": data}, line=True)
        else:
            print(render.plain(sentence_of(event, data)), flush=True)
        if self._left is not None:
            self._left -= 1


def sentence_of(event: StreamEvent, data: Any) -> str:
    """An event in one line."""
    if event.name == "reset":
        return f"reset: {data.get('reason', 'not all is known')} (dronedispatch orders list)"
    if event.name == "delivery":
        drone = f"  {data['drone_id']}" if data.get("drone_id") else ""
        what = f"{data.get('delivery_id')}  {data.get('status', ''):<11}{drone}  {data.get('cause') or ''}"
        return f"{render.clock_time(data.get('at'))}  {event.id:<12} {what}"
    if event.name == "zones":
        return f"the city has version {data.get('version')} now (dronedispatch zones get)"
    if event.name == "drones":
        kind = "the whole fleet" if data.get("whole") else "moved"
        return f"{render.clock_time(data.get('at'))}  drones: {len(data.get('drones', ()))} {kind}"
    if event.name == "deliveries":
        return f"deliveries: {len(data.get('deliveries', ()))} changed"
    if event.name == "figures":
        return (
            f"{render.clock_time(data.get('at'))}  {data.get('pending')} wait, {data.get('assigned')} assigned, "
            f"{data.get('in_progress')} in the air, {data.get('orders_per_minute')} a minute"
        )
    return f"{event.name}: {event.data}"
