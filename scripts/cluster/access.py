"""Who may do what: Consul's policies and tokens, Nomad's management token, and the jobs' secrets in Nomad's variables.

Runs on a server at provisioning, and again after every change: it writes what differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.cluster import broker_users
from scripts.cluster.consul import Consul, ConsulError
from scripts.cluster.deploy import OPTIONAL, ORDER, DeployError, ask, nomad
from scripts.cluster.patience import Patience
from scripts.cluster.rotate import put
from scripts.cluster.secrets import BEARER, GIVEN, SERVICES
from scripts.local.trouble import Trouble

POLICIES = Path(__file__).resolve().parents[1] / "provision" / "policies"
ANONYMOUS = "00000000-0000-0000-0000-000000000002"  # Consul's own, for whoever shows no token
NOMAD_POLICIES = POLICIES.parent / "nomad-policies"
# Management alone reads it; Nomad chooses its tokens by itself.
DEPLOY_KEY = "dronedispatch/operator/nomad_deploy"
METHOD = "nomad-workloads"  # Nomad's default name of it

Json = dict[str, Any]


def read(secrets: Path, name: str) -> str:
    """One secret. Raises Trouble, which names it."""
    try:
        return (secrets / name).read_text(encoding="ascii").strip()
    except OSError as exc:
        raise Trouble(f"the secret {name} is not in {secrets}: run scripts/make-secrets on the host") from exc


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


def give_workloads(consul: Consul, jwks_url: str, ca: str) -> int:
    """Let Nomad's workloads log in to Consul by their identity; how much was written.

    A job's task gets the policy of its job, a service may register itself; `ca` signs who answers at `jwks_url`.
    """
    config: Json = {
        "JWKSURL": jwks_url,
        "JWTSupportedAlgs": ["RS256", "ES256"],
        "BoundAudiences": ["consul.io"],
        "ClaimMappings": {name: name for name in ("nomad_namespace", "nomad_job_id", "nomad_service")},
    }
    if ca:
        config["JWKSCACert"] = ca
    method = {"Name": METHOD, "Type": "jwt", "Description": "Nomad's workloads", "Config": config}
    there: Json = consul.call("GET", f"/v1/acl/auth-method/{METHOD}") or {}
    written = 0
    if any((there.get("Config") or {}).get(name) != value for name, value in config.items()):
        consul.call("PUT", f"/v1/acl/auth-method/{METHOD}" if there else "/v1/acl/auth-method", method)
        written += 1
    for job in (*ORDER, *OPTIONAL):
        role = f"dd-{job}"
        if consul.call("GET", f"/v1/acl/role/name/{role}") is None:
            policy = "dd-reader" if job == "locust" else role
            consul.call("PUT", "/v1/acl/role", {"Name": role, "Policies": [{"Name": policy}]})
            written += 1
    if not consul.call("GET", f"/v1/acl/binding-rules?authmethod={METHOD}"):
        for selector, kind, name in (
            ('"nomad_service" in value', "service", "${value.nomad_service}"),
            ('"nomad_service" not in value', "role", "dd-${value.nomad_job_id}"),
        ):
            rule = {"AuthMethod": METHOD, "Selector": selector, "BindType": kind, "BindName": name}
            consul.call("PUT", "/v1/acl/binding-rule", rule)
            written += 1
    return written


def give_secrets(secrets: Path) -> int:
    """Each job's secrets into its Nomad Variable; how many variables were written.

    A bearer token that is there already stays: scripts/rotate-tokens alone changes it.
    """
    written = 0
    for job, names in GIVEN.items():
        code, text = nomad("var", "get", "-out=json", f"nomad/jobs/{job}", fine=(0, 1))
        there: dict[str, str] = json.loads(text)["Items"] if code == 0 else {}
        items = {name: read(secrets, name) for name in names if name in BEARER}
        items |= {name: one for name, one in there.items() if name in items}
        if "amqp_password" in there:
            items["amqp_password"] = there["amqp_password"]  # of the release before, while it is rolled
        if "broker_password" in names:
            items["broker_password"] = read(secrets, f"amqp/{job}")
        if "definitions" in names:
            items["definitions"] = _broker_definitions(secrets)
        if items != there:
            put(job, items)
            written += 1
    return written


def _broker_definitions(secrets: Path) -> str:
    try:
        return json.dumps(broker_users.of_cluster(secrets))
    except OSError as exc:
        raise Trouble(f"{exc.filename}: {exc.strerror}: run scripts/make-secrets on the host") from exc


def nomad_leads() -> bool:
    """Whether Nomad has a leader; asks for no token, since there may be none yet."""
    return nomad("operator", "api", "/v1/status/leader", fine=(0, 1))[1].strip() not in {"", '""'}


def bootstrap_nomad(secret: Path) -> bool:
    """Make what `secret` holds Nomad's management token, where there is none yet; whether it did."""
    try:
        nomad("acl", "bootstrap", str(secret))
    except DeployError as exc:
        if "bootstrap already done" not in str(exc):
            raise
        nomad("acl", "token", "self")  # raises where another one was made before
        return False
    return True


def give_nomad(consul: Consul, directory: Path = NOMAD_POLICIES) -> int:
    """A token that deploys and does nothing else, kept in Consul's KV for the operator; how much was written."""
    for path in sorted(directory.glob("*.hcl")):
        nomad("acl", "policy", "apply", "-description=DroneDispatch", f"dd-{path.stem}", str(path))
    kept = consul.get(DEPLOY_KEY)
    if kept is not None and nomad("acl", "token", "self", f"-token={kept}", fine=(0, 1))[0] == 0:
        return 0
    made = ask("acl", "token", "create", "-name=dd deploy", "-type=client", "-policy=dd-deploy", "-json")
    return int(consul.put(DEPLOY_KEY, str(made["SecretID"])))


def give(consul: Consul, secrets: Path, patience: Patience) -> str:
    """Wait for Consul's leader, then write what differs; a sentence of what was written."""

    def led() -> bool:
        try:
            return bool(consul.leader()) and consul.call("GET", "/v1/acl/token/self") is not None
        except ConsulError:
            return False

    if not patience.until(led):
        consul.leader()  # its own words, when it does not answer at all
        raise Trouble(
            f"Consul has no leader that knows our management token after {patience.deadline_s:.0f} s: "
            "are most of its servers there, and have they the secrets of this host?"
        )
    policies = give_policies(consul)
    tokens = give_tokens(consul, {role: read(secrets, f"consul/{role}") for role in _roles()})
    return f"wrote {policies} policies, {tokens} tokens"


def _roles() -> tuple[str, ...]:
    return ("agent", "nomad", "rabbitmq", "reader", *SERVICES)


def main(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """0: access is given. 1: it is not, and why was said."""
    parser = argparse.ArgumentParser("access", description=__doc__)
    parser.add_argument(
        "--secrets", type=Path, required=True, help="the folder that scripts/make-secrets filled"
    )
    parser.add_argument(
        "--deadline", type=float, default=60.0, metavar="SECONDS", help="patience with the leader"
    )
    parser.add_argument("--nomad", action="store_true", help="Nomad's workloads and variables too")
    parser.add_argument(
        "--variables", action="store_true", help="the jobs' secrets in Nomad's variables, no more"
    )
    parser.add_argument("--acl", action="store_true", help="Nomad's ACLs too")
    options = parser.parse_args(argv)
    try:
        if options.variables:
            print(f"wrote {give_secrets(options.secrets)} jobs' secrets")
            return 0
        consul = Consul.from_environment(environ, read(options.secrets, "consul/management"))
        patience = Patience(options.deadline)
        print(give(consul, options.secrets, patience))
        if options.acl:
            os.environ["NOMAD_TOKEN"] = read(options.secrets, "nomad/management")
            if not patience.until(nomad_leads):
                raise Trouble("Nomad has no leader: are most of its servers there?")
            made = bootstrap_nomad(options.secrets / "nomad" / "management")
            print(f"Nomad's management token: {'made' if made else 'there'}")
            print(f"Nomad: wrote {give_nomad(consul)} tokens for deployments")
        if options.nomad:
            address, ca = environ.get("NOMAD_ADDR", "http://127.0.0.1:4646"), environ.get("NOMAD_CACERT", "")
            signed = Path(ca).read_text(encoding="ascii") if ca else ""
            written = give_workloads(consul, f"{address}/.well-known/jwks.json", signed)
            print(f"wrote {written} of the workloads' access, {give_secrets(options.secrets)} jobs' secrets")
    except Trouble as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
