"""A client of a store's coordinators or replicas, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from dronedispatch.kv.http_client import HttpKV
from dronedispatch.runtime.discovery import Endpoint
from dronedispatch.runtime.http.client import HttpClient
from support.store_parts import TOKEN, Store


@asynccontextmanager
async def over_http(*addresses: tuple[str, int], token: str = TOKEN) -> AsyncIterator[HttpKV]:
    http = HttpClient(resend_on_reuse_reset=False)
    endpoints = tuple(Endpoint(f"{host}:{port}", host, port) for host, port in addresses)
    kv = HttpKV(lambda: endpoints, http, token)
    try:
        yield kv
    finally:
        await kv.close()
        await http.close()


def client_of(store: Store, *names: str) -> AbstractAsyncContextManager[HttpKV]:
    return over_http(*map(store.address, names))
