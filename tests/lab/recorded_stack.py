"""Stacks as older versions left them: recorded once, and put back into a lab for tests of upgrades.

A recording has the state and the helper of then. No secret is in it: keys, seeds and host keys are
placeholders, for which each run makes its own. Recordings are kept for good; a new one, of what the
checkout is now, is made by

    .venv/bin/python -m tests.lab.recorded_stack NAME
"""

import gzip
import json
import os
import re
import secrets
import string
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from components.key_pair import private_key, public_key
from lab.lab import Lab
from reach import LIBRARY, claimant
from reach.shell import helper_digest, helper_text
from settings.fields.keys import check_ssh_private_key
from tests.lab.deployment import Deployment

FOLDER = Path(__file__).parent / "recorded"
MANAGED = ("vps", "homelab", "attic")

_HELPER = "@helper@"
_DIGEST = "@digest-of-helper@"
_PACKED = "@packed-helper@"  # of versions that sent it on standard input
_SEED = "random:index/randomPassword:RandomPassword"
# What a resource tells of the machine and the moment it was made in, and no upgrade reads.
_OF_THE_MACHINE = {"created", "modified", "sourcePosition", "stackTrace"}
# How Pulumi writes a secret in a state: a mapping with this key and value, and the value as JSON.
_SIGNATURE = ("4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270")


def names() -> list[str]:
    """All recordings."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def record(deployment: Deployment) -> dict[str, Any]:
    """The stack as it is now."""
    exported = json.loads(deployment.pulumi("stack", "export", "--show-secrets").stdout)
    resources = [
        {key: value for key, value in resource.items() if key not in _OF_THE_MACHINE}
        for resource in exported["deployment"]["resources"]
    ]
    values = {
        _HELPER: helper_text(),
        _DIGEST: helper_digest(),
        **_facts(deployment.lab),
        **_keys(_seeds(resources)),
    }
    return {
        "helper": helper_text(),
        "resources": _changed(
            [_without_hash(resource) for resource in resources],
            lambda text: _replaced(text, {value: name for name, value in values.items()}),
        ),
    }


def put_back(deployment: Deployment, name: str) -> None:
    """Bring hosts and state to what the recording says; both are fresh."""
    text = (FOLDER / f"{name}.json").read_text()
    recorded = json.loads(text)
    seeds = {machine: _new_seed() for machine in re.findall("@seed-of-(.+?)@", text)}
    values = {**_facts(deployment.lab), **_keys(seeds), _HELPER: recorded["helper"]}
    values[_DIGEST] = sha256(recorded["helper"].encode()).hexdigest()
    values[_PACKED] = _packed(recorded["helper"])
    resources = _changed(recorded["resources"], lambda text: _replaced(text, values))
    # In the state's order, in which everything comes after what it needs.
    for resource in resources:
        if resource["type"] == "command:remote:Command":
            _run(deployment.lab, resource["inputs"], recorded["helper"])
    state = deployment.export()
    state["deployment"]["resources"] = resources
    deployment.lab.operator.run(
        deployment.words("stack", "import"), input=json.dumps(state), timeout=60
    )


def _facts(lab: Lab) -> dict[str, str]:
    keys = {name: lab.host(name).host_key for name in MANAGED}
    return {
        **{f"@host-key-of-{name}@": key for name, key in keys.items()},
        **{f"@claimant-of-{name}@": claimant(name, key) for name, key in keys.items()},
        # As the settings write it.
        "@ssh-key@": check_ssh_private_key(lab.ssh_key.read_text()).get_secret_value(),
    }


def _keys(seeds: Mapping[str, str]) -> dict[str, str]:
    """The seeds and what the key pairs are that come from them, by placeholder."""
    values = {}
    for machine, seed in seeds.items():
        private = private_key(seed)
        values[f"@seed-of-{machine}@"] = seed
        values[f"@private-key-of-{machine}@"] = private
        values[f"@public-key-of-{machine}@"] = public_key(private)
    return values


def _seeds(resources: list[dict[str, Any]]) -> dict[str, str]:
    return {
        resource["urn"].rpartition("::")[2].removesuffix("-seed"): _plain(
            resource["outputs"]["result"]
        )
        for resource in resources
        if resource["type"] == _SEED
    }


def _without_hash(resource: dict[str, Any]) -> dict[str, Any]:
    """The same without what is derived from a seed, and read by nobody."""
    if resource["type"] != _SEED:
        return resource
    outputs = {key: value for key, value in resource["outputs"].items() if key != "bcryptHash"}
    return {**resource, "outputs": outputs}


def _new_seed() -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(64))


def _replaced(text: str, values: Mapping[str, str]) -> str:
    for old, new in values.items():
        text = text.replace(old, new)
    return text


def _packed(helper: str) -> str:
    """A helper that unpacks itself in its place, and is run with the same words."""
    body = b64encode(gzip.compress(helper.encode())).decode()
    unpack = f"base64 -d <<<{body} | gzip -d >$0.unpacked && mv $0.unpacked $0"
    return f'{unpack} && exec bash "$0" "$@"\n'


def _run(lab: Lab, inputs: Mapping[str, Any], helper: str) -> None:
    """Run a recorded create on its host, as its user would by SSH."""
    connection = _plain(inputs["connection"])
    (host,) = (lab.host(name) for name in MANAGED if lab.host(name).address == connection["host"])
    if str(_plain(inputs.get("stdin", ""))).startswith("helper="):
        folder = f"{LIBRARY}/wg0"
        host.run(f"umask 077; mkdir -p {folder} && cat >{folder}/delivered", input=helper)
    # The shell between stands for sshd, which the text ends at its end.
    words = ["runuser", "-u", connection["user"], "--", "bash", "-c", 'bash -c "$0"; exit $?']
    host.run([*words, inputs["create"]], input=_plain(inputs.get("stdin", "")))


def _is_secret(value: object) -> bool:
    return isinstance(value, dict) and value.get(_SIGNATURE[0]) == _SIGNATURE[1]


def _plain(value: Any) -> Any:  # noqa: ANN401 # whatever is in a state
    return json.loads(value["plaintext"]) if _is_secret(value) else value


def _changed(value: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401 # as above
    """The same with each text changed, inside of secrets, too."""
    if _is_secret(value):
        return {**value, "plaintext": json.dumps(_changed(_plain(value), change))}
    if isinstance(value, dict):
        return {key: _changed(entry, change) for key, entry in value.items()}
    if isinstance(value, list):
        return [_changed(entry, change) for entry in value]
    return change(value) if isinstance(value, str) else value


def _main(name: str) -> None:
    lab = Lab(f"record-{os.getpid()}")
    lab.up(survives=False)
    deployment = Deployment(lab)
    deployment.up()
    text = json.dumps(record(deployment), indent=1, sort_keys=True)
    (FOLDER / f"{name}.json").write_text(f"{text}\n")
    lab.down()


if __name__ == "__main__":
    _main(*sys.argv[1:])
