"""A small part of the differential fuzzing (`scripts/bench lb --fuzz 100000` is the whole)."""

from __future__ import annotations

from random import Random

import pytest
from loadtests.bench.lb_fuzz import Findings, Target, fuzz, generate, lane

from dronedispatch.testing.door import open_door
from dronedispatch.testing.witness import witness
from support.real_parts import needs

pytestmark = pytest.mark.virtual_time


def no_news() -> None:
    """Progress that nobody watches."""


async def test_what_is_generated_reaches_the_gateway_in_one_reading_or_not_at_all() -> None:
    findings = Findings()
    async with witness() as upstream, open_door([upstream.port]) as door:
        await lane(Target("ours", door.port, upstream), (), Random(7), 150, findings, no_news)
    assert findings.serious == []
    assert 15 < findings.forwarded < 135


@pytest.mark.real
async def test_generated_requests_are_read_as_haproxy_and_nginx_read_them() -> None:
    needs("haproxy", "nginx")
    findings = await fuzz(400, 11, no_news, lanes=2)
    assert (findings.serious, findings.laxer, findings.other_reading) == ([], [], [])
    assert findings.forwarded > 60


def test_the_generator_repeats_itself_from_a_seed() -> None:
    assert [generate(Random(5)) for _ in range(3)] == [generate(Random(5)) for _ in range(3)]
