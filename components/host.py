"""A host of the tunnel, set up over SSH: the VPS, or a managed server."""

import shlex
from collections.abc import Sequence

import pulumi
from pulumi_command import remote
from pulumi_random import RandomId

from components.delivery import delivery
from components.remote import Remote, as_text
from reach import PROTOCOL
from reach.entries.drift import Drift
from reach.entries.part import Part
from reach.entries.recorded import HOST, claim_of, command_of, tenancy_of
from reach.shell import helper_digest, installation_text
from settings import Packages


class Host(pulumi.ComponentResource):
    """The tunnel on one host: its helper, its private key and its interface.

    Four commands, one after the other. The first, the claim, changes nothing, but is in the state
    before anything is done; so whatever fails or is killed later, destroying it cleans the host.
    Its delete removes everything of the tunnel, which is why everything else on that host is
    deleted with it: destroying a host is one command.

    Attributes:
        claim: the resource that all others on this host are deleted with.
        interface: the last of the four; what needs the running tunnel depends on it.
        arrival: what every command there waits for.
    """

    claim: remote.Command
    interface: remote.Command
    arrival: pulumi.ResourceHookBinding | None

    def __init__(  # noqa: PLR0913 - what a host is made of
        self,
        name: str,
        *,
        host: Remote,
        owner: str,
        packages: Packages,
        asks: bool = False,
        private_key: pulumi.Output[str],
        preshared_key: pulumi.Output[str] | None = None,
        key_staged: bool = False,
        key_after: Sequence[remote.Command] = (),
        lines: Sequence[pulumi.Input[str]],
        drift: Drift,
        depends_on: Sequence[remote.Command] = (),
        arrival: pulumi.ResourceHookBinding | None = None,
        removal: pulumi.ResourceHookBinding | None = None,
        half_made: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Registers the host.

        Args:
            name: the user's name for it, or `vps`.
            host: how commands reach it.
            owner: the stack it belongs to, `project/stack`.
            packages: who installs what is missing.
            asks: whether it asks the VPS through the tunnel whether that answers.
            private_key: its WireGuard key, base64, secret.
            preshared_key: the one that it shares with the VPS, likewise; None for none.
            key_staged: whether another private key waits until handshakes are waited for.
            key_after: what must be there before it has another one.
            lines: the settings of its interface, as the helper reads them.
            drift: what is wrong on the hosts.
            depends_on: what must be there before it, and until it is gone.
            arrival: what waits for it before anything is done there.
            removal: what removes from it what no stack has.
            half_made: whether it stays so, since it is gone: then it has its claim alone, which
                must be known until it has been let go.
            opts: of the component.
        """
        super().__init__(HOST, name, None, opts)
        texts = host.texts
        tenancy = self._tenancy(name, host)
        may_claim = texts.may_claim(owner)
        self.arrival = arrival
        both = pulumi.ResourceHookBinding.merge
        self.claim = host.command(
            claim_of(name),
            parent=self,
            create=may_claim,
            update=may_claim,
            delete=host.as_tenant(name, tenancy, lambda tenant: texts.release(owner, tenant)),
            depends_on=depends_on,
            hooks=arrival,
        )
        self.interface = self.claim
        if half_made:
            return
        helper = host.command(
            command_of(name, Part.HELPER),
            parent=self,
            create=texts.install(),
            drift=drift.of(name, Part.HELPER),
            stdin=host.as_tenant(
                name, tenancy, lambda tenant: _installation(owner, packages, tenant, asks=asks)
            ),
            depends_on=[self.claim],
            deleted_with=self.claim,
            hooks=both(arrival, delivery(name, texts.folder)),
        )
        # The key has a command of its own, so that every other change stays readable in a diff.
        key = host.command(
            command_of(name, Part.KEYS),
            parent=self,
            create=texts.call("key"),
            drift=drift.of(name, Part.KEYS),
            stdin=_key_lines(private_key, preshared_key, staged=key_staged),
            secret=True,
            depends_on=[helper, *key_after],
            deleted_with=self.claim,
            hooks=arrival,
        )
        self.interface = host.command(
            command_of(name, Part.INTERFACE),
            parent=self,
            create=texts.call("interface"),
            drift=drift.of(name, Part.INTERFACE),
            stdin=pulumi.Output.all(*lines).apply(as_text),
            depends_on=[key],
            deleted_with=self.claim,
            hooks=both(arrival, removal),
        )

    def _tenancy(self, name: str, host: Remote) -> pulumi.Output[str]:
        """Tells the times apart at which a host is this one's.

        Where it is left and come back to, the delete of before may be still to come: another
        machine was to take its place, and that went wrong.
        """
        machine, tunnel = host.identity
        lasts = RandomId(
            tenancy_of(name),
            byte_length=8,
            keepers={"machine": machine, "tunnel": tunnel},
            opts=pulumi.ResourceOptions(parent=self),
        )
        return lasts.hex


def _installation(owner: str, packages: Packages, tenant: Sequence[str], *, asks: bool) -> str:
    """Which helper, the words that it is run with, and what installs it."""
    programs = ["ping"] if asks else []
    words = shlex.join([str(PROTOCOL), "install", owner, packages, *tenant, *programs])
    return f"helper={helper_digest()}\nset -- {words}\n{installation_text()}"


def _key_lines(
    private_key: pulumi.Output[str], preshared_key: pulumi.Output[str] | None, *, staged: bool
) -> pulumi.Output[str]:
    end = "staged\n" if staged else ""
    if preshared_key is None:
        return private_key.apply(lambda key: f"{key}\n{end}")
    return pulumi.Output.format("{0}\npreshared-key {1}\n{2}", private_key, preshared_key, end)
