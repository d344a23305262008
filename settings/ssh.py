"""How a host is reached, by one way or several, and how it proves that it is the right one."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, TypeAlias, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from pydantic import ValidationInfo

from settings.fields.check import Check, named
from settings.fields.names import VPS
from settings.fields.ports import one_port
from settings.late import Late, is_late
from settings.model import Model
from settings.problem import Rule

HOST = Rule(
    "a host name such as vps.example.org, or an IP address",
    "this is where the SSH connection goes",
)
_MOST_PLACES = 8  # each costs seconds where nobody answers
WAYS = Rule(
    f"{HOST.allowed}; {{through: vps}} for a server that is reached by the VPS and the tunnel; or "
    f"a list of such ways, {_MOST_PLACES} at most and each once, tried in that order",
    HOST.why,
)
USER = Rule(
    "a letter or underscore, then up to 31 letters, digits and _ . -",
    "this is the user to log in as: root, or one whose sudo asks for no password",
)
HOST_KEY = Rule(
    'a public host key such as "ssh-ed25519 AAAA...": get it by '
    "`ssh-keyscan -t ed25519 HOST | cut -d' ' -f2-`, compare it with what the host says of itself "
    "(`cat /etc/ssh/ssh_host_ed25519_key.pub` on its console), and paste it",
    "without it, anybody on the way could answer in the host's place",
)

# Not ssh-rsa: the command plugin then offers SHA-1 signatures only, which no sshd gives any more.
HOST_KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
)

_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,31}")
_LONGEST_HOST_KEY = 4096  # characters, a long comment included


def as_ip(host: object) -> IPv4Address | IPv6Address | None:
    """Return the address that `host` is written as, None for a name or a late value."""
    if isinstance(host, str):
        for family in (IPv4Address, IPv6Address):
            try:
                return family(host)
            except ValueError:
                continue
    return None


def check_host(host: object, rule: Rule = HOST) -> str:
    """Return `host`, a plain host name or IP address; `rule` words the refusal."""
    if not isinstance(host, str):
        raise rule.refuse(host)
    address = as_ip(host)
    if isinstance(address, IPv6Address) and address.scope_id is None:
        return host
    if address is not None and address.version == 4:  # noqa: PLR2004 - a family's name
        return host
    if "@" in host:
        raise rule.refuse(host, "names a user; write that as ssh.user")
    if re.fullmatch(r"[^:]+:[0-9]+", host):
        raise rule.refuse(host, "has a port; leave that out here")
    if not _HOST_NAME.fullmatch(host):
        raise rule.refuse(host)
    if host.rpartition(".")[2].isdecimal():
        raise rule.refuse(host, "looks like an IP address but is none")
    return host


def check_user(user: object) -> str:
    """Return `user`, a plain login name."""
    if not isinstance(user, str) or not _USER.fullmatch(user):
        raise USER.refuse(user)
    return user


def check_host_key(key: object) -> str:
    """Return the host key `key` as its type and its base64 text; a comment is left out."""
    if not isinstance(key, str) or len(key) > _LONGEST_HOST_KEY:
        raise HOST_KEY.refuse(key)
    words = key.split()
    if "\n" in key.strip() or not words:
        raise HOST_KEY.refuse(key)
    if words[0] not in HOST_KEY_TYPES:
        if len(words) > 1 and words[1] in HOST_KEY_TYPES:
            raise HOST_KEY.refuse(key, "begins with the host's name; leave that out")
        raise HOST_KEY.refuse(key, f"does not begin with one of {', '.join(HOST_KEY_TYPES)}")
    if len(words) == 1 or not _is_key_of_type(words[0], words[1]):
        says = "is not complete, or mistyped: the text behind the type is not such a key"
        raise HOST_KEY.refuse(key, says)
    return f"{words[0]} {words[1]}"


@dataclass(frozen=True, slots=True)
class Through:
    """A server's address in the tunnel, by way of the VPS's sshd: `{through: vps}`."""


Place: TypeAlias = Late[str] | Through
"""Where an SSH connection goes: a host name or address, or the server's end of the tunnel."""


def check_places(written: object) -> tuple[Place, ...]:
    """Return the places of `written`, which is one or a list of them.

    A late one is left as it is, for whoever knows the field that it was given for.
    """
    entries = written if isinstance(written, list | tuple) else [written]
    places = tuple(map(_check_place, entries))
    if not places:
        raise WAYS.refuse_hidden("the list is empty")
    if len(places) > _MOST_PLACES:
        raise WAYS.refuse_hidden(f"the list has {len(places)} entries, {_MOST_PLACES} are the most")
    known = [place for place in places if not is_late(place)]
    for place in known:
        if known.count(place) > 1:
            shown = "{through: vps}" if isinstance(place, Through) else place
            raise WAYS.refuse_hidden(f"{shown} is listed twice")
    return places


def _check_place(written: object) -> Place:
    if is_late(written) or isinstance(written, Through):
        return written
    if isinstance(written, Mapping):
        if dict(written) != {"through": VPS}:
            raise WAYS.refuse_hidden("a mapping is only allowed as {through: vps}")
        return Through()
    return check_host(written, WAYS)


_PLACE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "required": ["through"],
            "additionalProperties": False,
            "properties": {"through": {"const": VPS}},
        },
    ]
}
_PLACES_SCHEMA = {
    "anyOf": [
        *_PLACE_SCHEMA["anyOf"],
        {
            "type": "array",
            "items": _PLACE_SCHEMA,
            "minItems": 1,
            "maxItems": _MOST_PLACES,
            "uniqueItems": True,
        },
    ]
}


class PlacesCheck(Check):
    """The check of a list some of whose entries may be known later."""

    def _validate(self, value: object, info: ValidationInfo) -> object:
        places = cast("tuple[Place, ...]", super()._validate(value, info))
        return tuple(
            place.apply(named("host", check_host)) if is_late(place) else place for place in places
        )


def _is_key_of_type(kind: str, text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)  # what is no base64, cryptography passes over
        load_ssh_public_key(f"{kind} {text}".encode())
    except (ValueError, NotImplementedError, UnsupportedAlgorithm):
        return False
    return True


class Ssh(Model):
    """How a host is reached. Any of it may come from the resource that made the host."""

    host: Annotated[tuple[Place, ...], PlacesCheck(check_places, WAYS, _PLACES_SCHEMA)]
    """Host name or IP address, as seen from the machine that runs Pulumi; `{through: vps}` for a
    server's own address in the tunnel, by the VPS; or a list of these, tried in that order."""

    port: Annotated[Late[int], one_port(late=True)] = 22
    """The TCP port of its sshd, whichever way it is reached."""

    user: Annotated[
        Late[str],
        Check(check_user, USER, {"type": "string", "pattern": f"^{_USER.pattern}$"}, late=True),
    ] = "root"
    """Who logs in: root, or a user whose sudo asks for no password."""

    host_key: Annotated[
        Late[str],
        Check(
            check_host_key,
            HOST_KEY,
            {
                "type": "string",
                "pattern": rf"^\s*({'|'.join(HOST_KEY_TYPES)})\s+[A-Za-z0-9+/]+=*(\s.*)?$",
            },
            late=True,
        ),
    ]
    """Its public host key, type and base64. It identifies the machine: another key is another
    host."""
