"""What is wrong with a stack, in words, and what to do: plain functions on what was seen."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from operate.look import HALF_MADE, Look
from operate.words import age_words
from reach.entries.drift import ANOTHER_VERSION, drift_of, drift_of_all
from reach.entries.fingerprints import unlike
from reach.entries.host_report import HostReport
from reach.entries.inventory import left_over
from reach.entries.part import Part
from settings import VPS, Protocol, Settings

DEAD = 180
"""Seconds after a handshake until WireGuard gives the session up; with keepalive, a new one comes
every two minutes."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        where: a host's name, `forward NAME` or `stack file`.
        says: what is wrong there, and what to do.
    """

    where: str
    says: str


def judge(settings: Settings, look: Look) -> list[Finding]:
    """What is wrong, the likely causes before what follows from them; empty if all is well."""
    return [*_hosts(settings, look), *_servers(settings, look), *_forwards(settings, look)]


def is_silent(settings: Settings, look: Look, server: str) -> bool:
    """Whether the VPS has a server among its peers and does not hear from it.

    Without keepalive a server says nothing by itself, so that silence tells nothing.
    """
    report = look.hosts[VPS]
    if isinstance(report, str) or not settings.network.keepalive:
        return False
    peer = report.peers.get(server)
    return peer is not None and (peer.handshake is None or peer.handshake > DEAD)


def _hosts(settings: Settings, look: Look) -> Iterator[Finding]:
    for name, report in look.hosts.items():
        if isinstance(report, str):
            yield Finding(name, report)
        else:
            for says in _host(settings, name, report):
                yield Finding(name, says)


def _host(settings: Settings, name: str, report: HostReport) -> Iterator[str]:
    if report.role is None:
        yield HALF_MADE
        return
    if report.wireguard is None:
        unit = f"wg-quick@{settings.network.interface}"
        yield (
            f"has its tunnel down: {_repair(settings)} If it stays down, `journalctl -u {unit}`"
            " there says why."
        )
        return
    drift = drift_of(settings, name, report)
    if drift.of(name, Part.HELPER) == ANOTHER_VERSION:
        yield (
            f"has another version of the helper than this checkout: {_repair(settings)} If a"
            " colleague's is the newer one: git pull, make setup."
        )
    if lines := drift.but(ANOTHER_VERSION).lines():
        what = "; ".join(line.removeprefix(f"{name}: ") for line in lines)
        yield f"is not as the last `pulumi up` made it ({what}): {_repair(settings)}"
    others = [
        f"{part.value} {of}".rstrip()
        for part, of in unlike(settings, name, report)
        # Of a forward it is said by itself.
        if part is not Part.FORWARD and drift.of(name, part, of) is None
    ]
    if others:
        yield f"has {', '.join(others)} otherwise than the stack file: {_repair(settings)}"
    if name == VPS:
        yield from _peers(settings, report)


def _repair(settings: Settings) -> str:
    """What puts drift right; without a look, an `up` does not know of it."""
    first = "" if settings.look_up else "set `lookUp: true`, then "
    return f"{first}run `pulumi up`, which puts that right."


def _peers(settings: Settings, report: HostReport) -> Iterator[str]:
    if unknown := sorted(settings.peers.keys() - report.peers.keys() - report.wrong_peers):
        yield f"does not know {', '.join(unknown)} yet: run `pulumi up`."
    if left := _left_over(settings, report, Part.PEER):
        names = ", ".join(left)
        yield f"still knows {names}, which the stack file has no more: {_repair(settings)}"


def _left_over(settings: Settings, vps: HostReport, kind: Part) -> list[str]:
    return [name for part, name in left_over(settings, VPS, vps) if part is kind]


def _servers(settings: Settings, look: Look) -> Iterator[Finding]:
    vps = look.hosts[VPS]
    for name, server in settings.servers.items():
        if isinstance(vps, str) or not is_silent(settings, look, name):
            continue
        age = vps.peers[name].handshake
        last = (
            "has never shaken hands with the VPS"
            if age is None
            else (f"has not been heard by the VPS for {age_words(age)}")
        )
        own = look.hosts.get(name)
        if server.ssh is None:
            todo = (
                f"Is it running, and online? `reverse-tunnel server {name}` prints the script"
                " that sets it up."
            )
        elif isinstance(own, HostReport) and own.wireguard is not None:
            todo = _silence(settings, name, vps, own)
        else:
            todo = "See what is said of that server itself."
        yield Finding(name, f"{last}. {todo}")


def _silence(settings: Settings, server: str, vps: HostReport, own: HostReport) -> str:
    """Why the VPS does not hear a server, although both tunnels are up."""
    drift = drift_of_all(settings, {VPS: vps, server: own})
    known_by = [
        (VPS, Part.KEYS, ""),
        (VPS, Part.PEER, server),
        (VPS, Part.PRESHARED_KEY, server),
        (server, Part.KEYS, ""),
    ]
    if VPS in own.wrong_peers or any(drift.of(*each) for each in known_by):
        return "The two do not know each other as they shall: put right first what is said of that."
    port = f"{settings.network.listen_port}/udp"
    if others := _heard_since(settings, vps, vps.peers[server].handshake):
        return (
            f"Both are up, and the VPS hears {', '.join(others)} at {port}, so look at {server}'s"
            " own line and clock: docs/troubleshooting.md, no handshake."
        )
    return (
        "Both are up, so UDP does not get through: the provider's firewall, in its panel, must let"
        f" in {port}. More causes: docs/troubleshooting.md, no handshake."
    )


def _heard_since(settings: Settings, vps: HostReport, age: int | None) -> list[str]:
    """The peers that have shaken hands when one whose handshake is of that age was overdue."""
    overdue = DEAD if age is None else age - DEAD
    return [
        name
        for name, peer in vps.peers.items()
        if name in settings.peers
        and peer.handshake is not None
        and peer.handshake < min(overdue, DEAD)
    ]


def _forwards(settings: Settings, look: Look) -> Iterator[Finding]:
    report = look.hosts[VPS]
    others: Collection[tuple[Part, str]] = ()
    if isinstance(report, HostReport):
        if report.wireguard is None:
            return  # all that could be said follows from that
        others = unlike(settings, VPS, report)
        for name in _left_over(settings, report, Part.FORWARD):
            yield Finding(
                f"forward {name}",
                f"is open, but no more in the stack file: {_repair(settings)}",
            )
    for name in settings.forwards:
        says = None
        if isinstance(report, HostReport):
            says = _unlike_wanted(settings, name, report)
        if says is None and (Part.FORWARD, name) in others:
            says = f"is otherwise on the VPS than in the stack file: {_repair(settings)}"
        if says is None and not is_silent(settings, look, _server(settings, name)):
            if isinstance(report, HostReport):
                says = _target(settings, name, report)
            says = says or _public_port(settings, name, look)
        if says:
            yield Finding(f"forward {name}", says)


def _server(settings: Settings, forward: str) -> str:
    return settings.destination(forward).server


def _unlike_wanted(settings: Settings, name: str, report: HostReport) -> str | None:
    forward, found = settings.forwards[name], report.forwards.get(name)
    if found is None:
        return "is not open yet: run `pulumi up`."
    if (found.rules == "paused") == forward.enabled:
        wanted = "open" if forward.enabled else "paused"
        return f"is to be {wanted}, and is not: run `pulumi up`."
    return None


def _target(settings: Settings, name: str, report: HostReport) -> str | None:
    forward, to = settings.forwards[name], settings.destination(name)
    # Of a range, the first port alone may well be nobody's just now.
    if len(forward.port) > 1 or forward.protocol is Protocol.UDP or not forward.enabled:
        return None
    target = f"{to.address}:{to.ports} ({'behind ' if to.behind else ''}{to.server})"
    match target_answer(settings, name, report):
        case "refuses":
            return (
                f"leads to {target}, which refuses connections. Is the service running there, and"
                " does it listen on all addresses, not on 127.0.0.1 alone?"
            )
        case "silent":
            behind = (
                " Does that host answer through the server? If not: sourceAddress: tunnel."
                if to.behind
                else ""
            )
            return (
                f"leads to {target}, which does not answer. Is the machine on, and does its own"
                f" firewall let the tunnel in?{behind}"
            )
        # Others were asked, so it would have been, were it the one.
        case None if report.targets and report.forwards[name].rules == "ok":
            return f"leads to another target than {target} still: run `pulumi up`."
    return None


def target_answer(settings: Settings, forward: str, report: HostReport) -> str | None:
    """What the VPS heard from a forward's target; None where it has asked for none like that."""
    to = settings.destination(forward)
    return report.targets.get((str(to.address), to.ports.first))


def _public_port(settings: Settings, name: str, look: Look) -> str | None:
    forward, report = settings.forwards[name], look.hosts[VPS]
    answer = look.ports.get(name)
    if answer in {None, "answers"} or len(forward.port) > 1:
        return None
    public = f"{settings.endpoint}:{forward.port}"
    verb = "refuses connections" if answer == "refuses" else "does not answer"
    if isinstance(report, str):
        return f"{verb} at {public}. See what is said of the VPS."
    if not (_lets_in(settings, name, report) and _answers(settings, name, look)):
        return None  # what is said of the VPS, or of the server, explains it
    if target_answer(settings, name, report) != "answers":
        return None  # nobody knows whether the VPS would get an answer
    return (
        f"{verb} at {public} when asked from here, although its target answers the VPS. The"
        f" provider's firewall, in its panel, must let in tcp {forward.port}."
    )


def _lets_in(settings: Settings, forward: str, report: HostReport) -> bool:
    """Whether the VPS is known to have all by which visitors come through it."""
    drift = drift_of(settings, VPS, report)
    return not (
        drift.of(VPS, Part.FORWARD, forward)
        or drift.of(VPS, Part.FIREWALL)
        or report.chains
        or "forwarding" in report.wrong
    )


def _answers(settings: Settings, forward: str, look: Look) -> bool:
    """Whether a forward's server, as far as is known, has all by which visitors get an answer.

    The VPS, which asks from the tunnel's own network, gets one without.
    """
    name = _server(settings, forward)
    report = look.hosts.get(name)
    return not isinstance(report, HostReport) or not (
        drift_of(settings, name, report).of(name, Part.OPENING, forward)
        or report.chains
        or {"routes", "forwarding"} & report.wrong
    )
