"""Conflicts of fields that have no effect, or can't be meant, beside another one."""

from collections.abc import Iterator

from settings.conflicts.facts import Facts, entries
from settings.fields.firewall import Firewall
from settings.problem import Problem, Rule


def _settings_without_effect(facts: Facts) -> Iterator[Problem]:
    for path, server in entries(facts, "servers"):
        if server.get("ssh") and server.get("public_key") is not None:
            rule = Rule(
                "either ssh or publicKey", "a server that is managed by ssh is given its key pair"
            )
            yield Problem((*path, "publicKey"), rule.refuse_hidden("is given beside ssh"))
        if server.get("networks") and server.get("ssh", "unknown") is None:
            rule = Rule(
                "networks of a server with ssh",
                "what is behind a server stays closed but for what Pulumi opens on it",
            )
            yield Problem((*path, "networks"), rule.refuse_hidden("is given without ssh"))
        if server.get("forget") and server.get("ssh", "unknown") is None:
            rule = Rule("forget of a server with ssh", "nothing is ever done on one without")
            yield Problem((*path, "forget"), rule.refuse_hidden("is given without ssh"))
    vps = facts.get("vps", {})
    if vps.get("allow") and vps.get("firewall") == Firewall.NONE:
        rule = Rule(
            f"allow beside firewall: {Firewall.DEFAULT_DENY}",
            "without a firewall nothing is denied that could be allowed",
        )
        yield Problem(("vps", "allow"), rule.refuse_hidden("is given without a firewall"))
    for path, forward in entries(facts, "forwards"):
        limit = forward.get("limit")
        if limit and limit == dict.fromkeys(("new_per_second", "concurrent")):
            rule = Rule("newPerSecond, concurrent or both", "an empty limit limits nothing")
            yield Problem((*path, "limit"), rule.refuse_hidden("is empty"))


RULES = (_settings_without_effect,)
