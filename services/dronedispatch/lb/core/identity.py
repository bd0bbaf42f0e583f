"""Who is the client: the address found by walking X-Forwarded-For from the right through trusted proxies. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def networks(text: str) -> tuple[Network, ...]:
    """ "10.0.0.0/8, ::1" as networks. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Whether `address` belongs to a proxy of ours; what is no address does not."""
    if not trusted:
        return False
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed.version == network.version and parsed in network for network in trusted)


def client_address(peer: str, forwarded_for: Sequence[bytes], trusted: Sequence[Network]) -> str:
    """The first address from the right that is no trusted proxy; `peer` itself if it is none, or if the list is garbage.

    Everything left of that address was written by someone whom nobody vouches for.
    """
    client = peer
    if not is_trusted(peer, trusted):
        return client
    hops = [hop.strip() for value in forwarded_for for hop in value.decode("latin-1").split(",")]
    for hop in reversed(hops):
        address = _address(hop)
        if address is None:
            return client
        client = address
        if not is_trusted(client, trusted):
            return client
    return client


def is_loopback(address: str) -> bool:
    """Whether `address` is this machine's own, whatever its clothes."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.is_loopback


def limiter_key(address: str) -> str:
    """What a limit is kept for: an IPv4 address, or the /64 that one IPv6 customer has."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed) >> 64 << 64, 64)))


def _address(hop: str) -> str | None:
    if "%" in hop:  # a zone means nothing to anybody else, and may be any text: it goes into the access log
        return None
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ip_address(hop))
    except ValueError:
        return None
