"""Who may do what: Consul's policies and tokens, Nomad's management token, and the services' secrets in Consul's KV.

Runs on a server at provisioning, and again after every change: it writes what differs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.cluster.consul import Consul, ConsulError
from scripts.cluster.nomad import Nomad, NomadAbsent, NomadError
from scripts.cluster.patience import Patience
from scripts.cluster.secrets import BEARER, SERVICES

POLICIES = Path(__file__).resolve().parents[1] / "provision" / "policies"
ANONYMOUS = "00000000-0000-0000-0000-000000000002"  # Consul's own, for whoever shows no token
NOMAD_POLICIES = POLICIES.parent / "nomad-policies"
# Management alone reads it; Nomad chooses its tokens by itself.
DEPLOY_KEY = "dronedispatch/operator/nomad_deploy"
SECRETS_KEY = "dronedispatch/secrets/"
TOKENS_KEY = "dronedispatch/consul-tokens/"

Json = dict[str, Any]


class AccessError(Exception):
    """Access cannot be given; the message says why."""


def read(secrets: Path, name: str) -> str:
    """One secret. Raises AccessError, which names it."""
    try:
        return (secrets / name).read_text(encoding="ascii").strip()
    except OSError as exc:
        raise AccessError(
            f"the secret {name} is not in {secrets}: run scripts/make-secrets on the host"
        ) from exc


def give_policies(consul: Consul, directory: Path = POLICIES) -> int:
    """Every file of `directory` is a policy of its name; how many were written."""
    there: dict[str, str] = {one["Name"]: one["ID"] for one in consul.call("GET", "/v1/acl/policies") or []}
    written = 0
    for path in sorted(directory.glob("*.hcl")):
        body: Json = {"Name": f"dd-{path.stem}", "Rules": path.read_text(encoding="utf-8")}
        identity = there.get(body["Name"])
        if identity is None:
            consul.call("PUT", "/v1/acl/policy", body)
        elif consul.call("GET", f"/v1/acl/policy/{identity}")["Rules"] != body["Rules"]:
            consul.call("PUT", f"/v1/acl/policy/{identity}", body | {"ID": identity})
        else:
            continue
        written += 1
    return written


def give_tokens(consul: Consul, tokens: Mapping[str, str]) -> int:
    """`tokens`: role -> secret. Each gets the policy of its role, and no other; how many were made."""
    there = {one["Description"] for one in consul.call("GET", "/v1/acl/tokens") or []}
    made = 0
    for role, secret in tokens.items():
        known = Consul(consul.address, secret, consul.cacert)
        if f"dd {role}" in there and _known(known):
            continue
        body = {"SecretID": secret, "Description": f"dd {role}", "Policies": [{"Name": f"dd-{role}"}]}
        consul.call("PUT", "/v1/acl/token", body)
        made += 1
    anonymous: Json = consul.call("GET", f"/v1/acl/token/{ANONYMOUS}") or {}
    if [one["Name"] for one in anonymous.get("Policies") or []] != ["dd-anonymous"]:
        body = {"AccessorID": ANONYMOUS, "Description": "nobody", "Policies": [{"Name": "dd-anonymous"}]}
        consul.call("PUT", f"/v1/acl/token/{ANONYMOUS}", body)
        made += 1
    return made


def _known(consul: Consul) -> bool:
    try:
        return consul.call("GET", "/v1/acl/token/self") is not None
    except ConsulError:
        return False  # "ACL not found": a token that this cluster has not


def give_secrets(consul: Consul, secrets: Path) -> int:
    """The services' secrets and tokens into the KV, where Nomad's templates read them; how many were written.

    A bearer token that is there already stays: scripts/rotate-tokens alone changes it.
    """
    written = 0
    for name in BEARER:
        if not consul.get(f"{SECRETS_KEY}{name}"):
            written += consul.put(f"{SECRETS_KEY}{name}", read(secrets, name))
    written += consul.put(f"{SECRETS_KEY}amqp_password", read(secrets, "amqp/dronedispatch"))
    for service in SERVICES:
        written += consul.put(f"{TOKENS_KEY}{service}", read(secrets, f"consul/{service}"))
    return written


def bootstrap_nomad(nomad: Nomad, secret: str) -> bool:
    """Make `secret` Nomad's management token, where there is none yet; whether it did.

    Raises NomadError when another one was made before, and `secret` is not it.
    """
    try:
        nomad.call("POST", "/v1/acl/bootstrap", {"BootstrapSecret": secret})
    except NomadError as exc:
        if "bootstrap already done" not in str(exc):
            raise
        Nomad(nomad.address, secret, nomad.cacert).call("GET", "/v1/acl/token/self")
        return False
    return True


def give_nomad(consul: Consul, nomad: Nomad, directory: Path = NOMAD_POLICIES) -> int:
    """A token that deploys and does nothing else, kept in Consul's KV for the operator; how much was written.

    `nomad` shows the management token. Raises NomadError or ConsulError.
    """
    written = 0
    for path in sorted(directory.glob("*.hcl")):
        name, rules = f"dd-{path.stem}", path.read_text(encoding="utf-8")
        if _nomad_rules(nomad, name) != rules:
            body = {"Name": name, "Description": "DroneDispatch", "Rules": rules}
            nomad.call("POST", f"/v1/acl/policy/{name}", body)
            written += 1
    kept = consul.get(DEPLOY_KEY)
    if kept is None or not _deploys(Nomad(nomad.address, kept, nomad.cacert)):
        wanted: Json = {"Name": "dd deploy", "Type": "client", "Policies": ["dd-deploy"]}
        made: Json = nomad.call("POST", "/v1/acl/token", wanted)
        written += consul.put(DEPLOY_KEY, str(made["SecretID"]))
    return written


def _nomad_rules(nomad: Nomad, name: str) -> str | None:
    try:
        return str(nomad.call("GET", f"/v1/acl/policy/{name}")["Rules"])
    except NomadAbsent:
        return None


def _deploys(nomad: Nomad) -> bool:
    try:
        return nomad.call("GET", "/v1/acl/token/self") is not None
    except NomadError:
        return False  # made by a cluster that is no more


def give(consul: Consul, secrets: Path, patience: Patience) -> str:
    """Wait for Consul's leader, then write what differs; a sentence of what was written."""

    def led() -> bool:
        try:
            return bool(consul.leader()) and consul.call("GET", "/v1/acl/token/self") is not None
        except ConsulError:
            return False

    if not patience.until(led):
        consul.leader()  # its own words, when it does not answer at all
        raise AccessError(
            f"Consul has no leader that knows our management token after {patience.deadline_s:.0f} s: "
            "are most of its servers there, and have they the secrets of this host?"
        )
    policies = give_policies(consul)
    tokens = give_tokens(consul, {role: read(secrets, f"consul/{role}") for role in _roles()})
    return f"wrote {policies} policies, {tokens} tokens, {give_secrets(consul, secrets)} secrets"


def _roles() -> tuple[str, ...]:
    return ("agent", "nomad", "rabbitmq", "reader", *SERVICES)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """0: access is given. 1: it is not, and why was said."""
    parser = argparse.ArgumentParser("access", description=__doc__)
    parser.add_argument(
        "--secrets", type=Path, required=True, help="the folder that scripts/make-secrets filled"
    )
    parser.add_argument(
        "--deadline", type=float, default=60.0, metavar="SECONDS", help="patience with the leader"
    )
    parser.add_argument("--nomad", action="store_true", help="Nomad's ACLs too")
    options = parser.parse_args(argv)
    try:
        consul = Consul.from_environment(environ, read(options.secrets, "consul/management"))
        print(give(consul, options.secrets, Patience(options.deadline)))
        if options.nomad:
            secret = read(options.secrets, "nomad/management")
            nomad = Nomad.from_environment(environ)
            made = bootstrap_nomad(nomad, secret)
            print(f"Nomad's management token: {'made' if made else 'there'}")
            ruling = Nomad(nomad.address, secret, nomad.cacert)
            print(f"Nomad: wrote {give_nomad(consul, ruling)} of a policy and a token for deployments")
    except (AccessError, ConsulError, NomadError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
