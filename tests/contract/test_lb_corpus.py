"""The corpus of smuggling and malformed payloads: no desync, and as strict as HAProxy and nginx, or stricter."""

from __future__ import annotations

import pytest
from loadtests.bench.lb_judge import Payload, corpus, judge
from loadtests.bench.lb_peers import haproxy, nginx

from dronedispatch.testing.door import open_door
from dronedispatch.testing.witness import witness
from support.real_parts import needs

pytestmark = pytest.mark.virtual_time

PAYLOADS = corpus()


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(PAYLOADS) >= 60
    assert len({payload.name for payload in PAYLOADS}) == len(PAYLOADS)


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload.name)
async def test_a_payload_is_forwarded_in_one_reading_or_refused_and_harms_nobody(payload: Payload) -> None:
    async with witness() as upstream, open_door([upstream.port]) as door:
        verdict = await judge(door.port, upstream, payload.data)
    assert verdict.faults == ()
    assert verdict.forwarded is payload.legal
    assert verdict.forwarded or all(400 <= status <= 505 for status in verdict.statuses)


@pytest.mark.real
@pytest.mark.parametrize("peer", ["haproxy", "nginx"])
async def test_what_a_peer_refuses_we_refuse_unless_it_is_legal(peer: str) -> None:
    needs(peer)
    laxer = []
    async with witness() as upstream, open_door([upstream.port]) as door:
        with (haproxy if peer == "haproxy" else nginx)([upstream.port]) as other:
            for payload in PAYLOADS:
                theirs = await judge(other.port, upstream, payload.data, patience_s=0.3)
                ours = await judge(door.port, upstream, payload.data)
                if ours.forwarded and not theirs.forwarded and not payload.legal:
                    laxer.append(f"{payload.name}: we {ours}, {peer} {theirs}")
    assert laxer == []
