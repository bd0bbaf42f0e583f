"""One active process among several, by a Consul lock.

The session hangs on a check of 1 s that is bound to our own service (a TTL session keeps a dead leader's lock for about
20 s; the check turns critical within a second of a kill -9), with a lock-delay of 1 s. A paused leader may still believe
that it leads: so leadership saves work, and safety rests on versions and fencing alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import structlog

from dronedispatch.runtime.addresses import host_port
from dronedispatch.runtime.backoff import full_jitter
from dronedispatch.runtime.consul import (
    RESET_PAUSE_S,
    ConsulClient,
    ConsulError,
    ConsulRefused,
    ConsulUnknown,
    next_index,
)

LOCK_DELAY_S = 1
WAIT_S = 10.0
ASIDE_S = 1.0

log = structlog.get_logger()


class ConsulLock:
    """Campaigns for `key` for ever; `leader` and `term` tell how it stands.

    `term` is Consul's ModifyIndex of the acquisition: it increases strictly from leader to leader. While Consul does
    not answer, the last known state stays: nobody else can take the lock in that time. `may_lead` False: this process cannot
    do a leader's work, and gives the lock up, within WAIT_S.
    """

    def __init__(
        self,
        consul: ConsulClient,
        key: str,
        *,
        service: str,
        instance: str,
        address: str,
        port: int,
        on_change: Callable[[bool], None] = lambda _leader: None,
        may_lead: Callable[[], bool] = lambda: True,
        rng: Random | None = None,
    ) -> None:
        self._consul = consul
        self._key = key
        self._service = service
        self._instance = instance
        self._address = address
        self._port = port
        self._on_change = on_change
        self._may_lead = may_lead
        self._rng = rng or Random()
        self._session: str | None = None
        self._aside = False
        self._failures = 0  # of Consul, in a row
        self.leader = False
        self.term = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                if not self._may_lead():
                    await self._stand_aside()
                    continue
                self._aside = False
                if self._session is None:
                    self._session = await self._open_session()
                await self._campaign(self._session)
            except ConsulRefused as exc:  # the session has ended, or its check is not passing yet
                self._set(leader=False, term=0)
                self._session = None
                log.info("no session for the lock yet", lock=self._key, error=str(exc))
                await asyncio.sleep(0.2 + full_jitter(0, base_s=0.3, cap_s=1.0, rng=self._rng))
            except ConsulError as exc:
                if self._failures == 0:
                    log.warning("lock: Consul fails, the last state stays", lock=self._key, error=str(exc))
                await asyncio.sleep(0.1 + full_jitter(self._failures, base_s=0.2, cap_s=2.0, rng=self._rng))
                self._failures += 1

    async def _stand_aside(self) -> None:
        """Whoever can work may lead; we keep our session for when we can."""
        if self._session is not None and not self._aside:
            await self._consul.kv_release(self._key, self._session)  # it may have been taken unseen
        self._aside = True
        self._set(leader=False, term=0)
        await asyncio.sleep(ASIDE_S)

    async def resign(self) -> None:
        """Give the lock back now, so that a standby need not wait for our check to fail."""
        session, self._session = self._session, None
        self._set(leader=False, term=0)
        if session is not None:
            await self._consul.kv_release(self._key, session)
            await self._consul.session_destroy(session)

    async def _open_session(self) -> str:
        service_id = await self._own_service_id()
        check_id = f"leader:{self._instance}"
        # A predecessor of our name that was killed may have left a session on this check. Were it only registered again,
        # as passing, before Consul saw it fail, that session would hold the lock for ever.
        await self._consul.deregister_check(check_id)
        await self._consul.register_check(
            {
                "ID": check_id,
                "Name": f"{self._service} may lead",
                "ServiceID": service_id,
                "HTTP": f"http://{host_port(self._address, self._port)}/health?live=1",
                "Interval": "1s",
                "Timeout": "3s",
                "Status": "passing",
            }
        )
        return await self._consul.session_create(self._instance, [check_id, "serfHealth"], LOCK_DELAY_S)

    async def _own_service_id(self) -> str:
        """By address and port: under Nomad the id is Nomad's, not ours."""
        for service_id, entry in (await self._consul.agent_services()).items():
            if entry.get("Service") == self._service and entry.get("Port") == self._port:
                return service_id
        raise ConsulRefused(f"{self._service} on port {self._port} is not in the catalogue yet")

    async def _campaign(self, session: str) -> None:
        index, entry = await self._consul.kv_entry(self._key, consistent=True)
        while self._session == session and self._may_lead():
            self._failures = 0  # it has just answered
            holder = None if entry is None else entry.get("Session")
            if entry is not None and holder == session:
                self._set(leader=True, term=int(entry["ModifyIndex"]) if not self.leader else self.term)
            elif holder is None:
                self._set(leader=False, term=0)
                if await self._acquire(session):
                    index, entry = await self._consul.kv_entry(self._key, consistent=True)
                    continue
                await asyncio.sleep(0.1 + full_jitter(0, base_s=0.2, cap_s=0.2, rng=self._rng))  # lock-delay
                index, entry = await self._consul.kv_entry(self._key, consistent=True)
                continue
            else:
                self._set(leader=False, term=0)
            answered, entry = await self._consul.kv_entry(self._key, index=index, wait_s=WAIT_S)
            index = next_index(index, answered)
            if index == 0:
                await asyncio.sleep(RESET_PAUSE_S)

    async def _acquire(self, session: str) -> bool:
        try:
            return await self._consul.kv_acquire(self._key, self._instance.encode(), session)
        except ConsulUnknown:
            self._session = None  # an ended session is answered by a 500: the next round opens a new one
            raise

    def _set(self, *, leader: bool, term: int) -> None:
        changed = leader != self.leader
        self.leader, self.term = leader, term
        if changed:
            log.info("leadership", lock=self._key, leader=leader, term=term)
            self._on_change(leader)
