"""One run of kvctl: its way to Consul, to the coordinators and to the replicas, and the view."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import msgspec

from dronedispatch.kv.http_client import HttpKV
from dronedispatch.kv.wire import MSGPACK
from dronedispatch.kvctl.settings import Settings
from dronedispatch.replication import view as views
from dronedispatch.replication.calls import AnyCall, AnyReply, decode_replies, encode_calls
from dronedispatch.replication.links import BATCH_TARGET
from dronedispatch.replication.view import VIEW_KEY, View
from dronedispatch.runtime.auth import bearer
from dronedispatch.runtime.consul import ConsulClient, ConsulError, ConsulUnknown, Endpoint
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import HttpError
from dronedispatch.runtime.http.proof import prover

CHANGE_ATTEMPTS = 20


class CannotDo(Exception):
    """What was asked for is not possible; the message says why and what to do."""


class TokenWanted(CannotDo):
    """A replica lives and does not let us in: it is we who lack something."""


class UnknownChange(CannotDo):
    """The view may have been changed, now or in a moment: Consul was asked, and gave no clear answer."""


class ReplicaState(msgspec.Struct):
    """What GET /replica/state says."""

    name: str
    disk: str
    url: str
    cluster: str
    floor: int
    published: int
    joining: list[int]
    last_join: str
    epoch: int
    keys: int
    hint_bytes: int
    last_view: str | None
    cache: dict[str, int]
    was: str = ""  # the disk that this one is a complete copy of, as long as nothing has changed it


class Session:
    """Open it by `opened(settings)`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        token = settings.consul_token.value if settings.consul_token else None
        self.consul = ConsulClient(settings.consul_addr, token=token, cacert=settings.consul_cacert)
        self.http = HttpClient(resend_on_reuse_reset=False, prover=prover(settings.service_secret))
        self._fronts: tuple[Endpoint, ...] = ()
        store = settings.store_token.value if settings.store_token else ""
        self.kv = HttpKV(lambda: self._fronts, self.http, store, timeout_s=settings.timeout_s)

    async def close(self) -> None:
        """Close the connections."""
        await self.kv.close()
        await self.http.close()
        await self.consul.close()

    def _no_consul(self, error: ConsulError) -> CannotDo:
        return CannotDo(
            f"Consul at {self.consul.address} does not answer: {error.__cause__ or error}; "
            "--home DIR asks that of a home, CONSUL_HTTP_ADDR names another"
        )

    async def endpoints(self, service: str, *, passing: bool = True) -> tuple[Endpoint, ...]:
        """The passing (or all registered) instances of `service`. Raises CannotDo when Consul does not answer."""
        try:
            _, found = await self.consul.health(service, passing=passing, consistent=True)
        except ConsulError as error:
            raise self._no_consul(error) from error
        return found

    async def store(self) -> HttpKV:
        """The store through its coordinators. Raises CannotDo when there is none."""
        self._fronts = await self.endpoints("kvfront")
        if not self._fronts:
            raise CannotDo("no healthy kvfront is registered in Consul (is the store bootstrapped?)")
        return self.kv

    async def view(self, *, or_nonsense: bool = False) -> tuple[View | None, int]:
        """(view, ModifyIndex) as Consul's leader has them; (None, 0): there is none.

        Raises CannotDo for a document that is no view; with `or_nonsense` it is (None, its index), for who replaces it.
        """
        try:
            _, document, index = await self.consul.kv_get(VIEW_KEY, consistent=True)
        except ConsulError as error:
            raise self._no_consul(error) from error
        if document is None:
            return None, 0
        try:
            return views.decode(document), index
        except ValueError as error:
            if or_nonsense:
                return None, index
            raise CannotDo(f"{VIEW_KEY} in Consul is {error}: run `dronedispatch kvctl recover`") from error

    async def needed_view(self) -> View:
        """The view. Raises CannotDo when there is none."""
        view, _ = await self.view()
        if view is None:
            raise CannotDo(
                "there is no view in Consul: run `dronedispatch kvctl recover` if this store has served before, "
                "`dronedispatch kvctl bootstrap --rf N` if it is new"
            )
        return view

    async def put_view(self, view: View, index: int) -> bool:
        """Put it in the place of the one with `index`; False: another writer was first. Raises CannotDo, UnknownChange."""
        try:
            return await self.consul.kv_put(VIEW_KEY, views.encode(view), cas=index)
        except ConsulUnknown as error:
            return await self._was_put(view, error)
        except ConsulError as error:
            raise CannotDo(f"Consul refused the view: {error}") from error

    async def _was_put(self, view: View, error: ConsulUnknown) -> bool:
        """Certain where its epoch is taken, by it or by another; else it may come yet, or have come and gone."""
        unknown = UnknownChange(
            f"the view may have been changed, to epoch {view.epoch}: Consul gave no clear answer ({error}); look at "
            "`dronedispatch kvctl view` before you try again"
        )
        try:
            now, _ = await self.view(or_nonsense=True)
        except CannotDo as no_answer:
            raise unknown from no_answer
        if now is None or now.epoch != view.epoch:
            raise unknown from error
        return now.by == view.by

    async def change_view(self, change: Callable[[View], View]) -> View:
        """The view as `change` has made it; tried again when another writer was first, or when it may not have been made: so
        `change` may be made twice. Raises CannotDo, UnknownChange.
        """
        unknown: UnknownChange | None = None
        for _ in range(CHANGE_ATTEMPTS):
            try:
                view, index = await self.view()
            except CannotDo as error:
                raise unknown or error from error
            if view is None:
                raise unknown or CannotDo("there is no view to be changed")
            after = change(view)
            try:
                if after is view or await self.put_view(after, index):
                    return after
            except UnknownChange as error:
                unknown = error
            await asyncio.sleep(0.05)
        raise unknown or CannotDo("the view changes faster than it can be changed here: try again")

    async def state(self, url: str) -> ReplicaState:
        """What the replica at `url` says of itself. Raises CannotDo."""
        parts = urlsplit(url)
        try:
            response = await self.http.request(
                "GET",
                parts.hostname or "",
                parts.port or 80,
                "/replica/state",
                headers=bearer(self.settings.store_token),
                timeout_s=self.settings.timeout_s,
            )
        except HttpError as error:
            raise CannotDo(f"the replica at {url} does not answer: {error}") from error
        if response.status == 401:
            raise TokenWanted(
                f"the replica at {url} wants the store's token: name it with --home DIR, or STORE_TOKEN_FILE=FILE"
            )
        if response.status != 200:
            raise CannotDo(f"the replica at {url} answers {response.status}")
        return msgspec.json.decode(response.body, type=ReplicaState)

    async def hand_over(self, url: str, slots: Sequence[int]) -> None:
        """Ask the replica at `url` to begin no write in `slots` for a moment. Raises CannotDo."""
        parts = urlsplit(url)
        try:
            response = await self.http.request(
                "POST",
                parts.hostname or "",
                parts.port or 80,
                "/replica/hand_over",
                headers=bearer(self.settings.store_token),
                body=msgspec.json.encode({"slots": list(slots)}),
                timeout_s=self.settings.timeout_s,
            )
        except HttpError as error:
            raise CannotDo(f"the replica at {url} does not answer: {error}") from error
        if response.status != 200:
            raise CannotDo(f"the replica at {url} answers {response.status}")

    async def states(self, urls: Sequence[str]) -> list[ReplicaState | CannotDo]:
        """The states of all; an error in the place of one that does not answer. Raises TokenWanted: they do answer."""
        found = await asyncio.gather(*map(self.state, urls), return_exceptions=True)
        answers: list[ReplicaState | CannotDo] = []
        for answer in found:
            if isinstance(answer, TokenWanted) or not isinstance(answer, ReplicaState | CannotDo):
                assert isinstance(answer, BaseException)
                raise answer
            answers.append(answer)
        return answers

    async def ask(self, url: str, calls: Sequence[AnyCall]) -> list[AnyReply]:
        """One batch of calls to the replica at `url`, as a coordinator sends it. Raises CannotDo."""
        parts = urlsplit(url)
        try:
            response = await self.http.request(
                "POST",
                parts.hostname or "",
                parts.port or 80,
                BATCH_TARGET,
                headers=(*bearer(self.settings.store_token), ("content-type", MSGPACK)),
                body=encode_calls(calls),
                timeout_s=self.settings.timeout_s,
            )
        except HttpError as error:
            raise CannotDo(f"the replica at {url} does not answer: {error}") from error
        if response.status != 200:
            raise CannotDo(f"the replica at {url} answers {response.status}")
        return decode_replies(response.body)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Session]:
    """A session, closed at the end."""
    session = Session(settings)
    try:
        yield session
    finally:
        await session.close()
