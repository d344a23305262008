"""Conflicts of fields that have no effect, or can't be meant, beside another one."""

from collections.abc import Iterator

from settings.facts import Facts, entries
from settings.fields.firewall import Firewall
from settings.problem import Problem, Rule


def _public_key_beside_ssh(facts: Facts) -> Iterator[Problem]:
    rule = Rule("either ssh or publicKey", "a server that is managed by ssh is given its key pair")
    for path, server in entries(facts, "servers"):
        if server.get("ssh") and server.get("public_key") is not None:
            yield Problem((*path, "publicKey"), rule.refuse_hidden("is given beside ssh"))


def _networks_without_ssh(facts: Facts) -> Iterator[Problem]:
    rule = Rule(
        "networks of a server with ssh",
        "what is behind a server stays closed but for what Pulumi opens on it",
    )
    for path, server in entries(facts, "servers"):
        if server.get("networks") and server.get("ssh", "unknown") is None:
            yield Problem((*path, "networks"), rule.refuse_hidden("is given without ssh"))


def _forgotten_without_ssh(facts: Facts) -> Iterator[Problem]:
    rule = Rule("forget of a server with ssh", "nothing is ever done on one without")
    for path, server in entries(facts, "servers"):
        if server.get("forget") and server.get("ssh", "unknown") is None:
            yield Problem((*path, "forget"), rule.refuse_hidden("is given without ssh"))


def _allowed_without_a_firewall(facts: Facts) -> Iterator[Problem]:
    vps = facts.get("vps", {})
    if vps.get("allow") and vps.get("firewall") == Firewall.NONE:
        rule = Rule(
            f"allow beside firewall: {Firewall.DEFAULT_DENY}",
            "without a firewall nothing is denied that could be allowed",
        )
        yield Problem(("vps", "allow"), rule.refuse_hidden("is given without a firewall"))


def _empty_limits(facts: Facts) -> Iterator[Problem]:
    rule = Rule("newPerSecond, concurrent or both", "an empty limit limits nothing")
    for path, forward in entries(facts, "forwards"):
        limit = forward.get("limit")
        if limit and limit == dict.fromkeys(("new_per_second", "concurrent")):
            yield Problem((*path, "limit"), rule.refuse_hidden("is empty"))


RULES = (
    _public_key_beside_ssh,
    _networks_without_ssh,
    _forgotten_without_ssh,
    _allowed_without_a_firewall,
    _empty_limits,
)
