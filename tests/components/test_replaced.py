"""What is replaced: in which order, what it takes along, and whose a host is that has come back."""

import pytest

from reach import claimant
from tests.components.inspected import drifted, drifting, heard, run, stack, state_of
from tests.components.recording import TENANCY, Recording
from tests.components.sshd import Sshd
from tests.settings.samples import host_key


def deleted_first(made: Recording) -> set[str]:
    return {each.name for each in made.commands if each.deleted_first}


def test_what_is_replaced_on_a_host_that_was_found_goes_first(sshd: Sshd) -> None:
    """Deleted afterwards, a forward would be closed that was put anew."""
    made = run(drifting(sshd))
    assert {"web", "laptop", "vps-firewall", "vps-metrics"} <= deleted_first(made)
    # By the engine's ways all that goes with a claim would go before it, one by one.
    assert "vps-claim" not in deleted_first(made)


@pytest.mark.parametrize("name", ["another machine", "another name", "nobody"])
def test_on_another_machine_the_old_one_serves_until_the_new_one_does(
    sshd: Sshd, name: str
) -> None:
    there = {
        "another machine": claimant("vps", host_key(3)),
        "another name": claimant("gateway", sshd.host_key),
        "nobody": "-",
    }
    values = drifting(sshd, claimant=there[name])
    assert deleted_first(run(values, state=state_of(values))) == set()
    assert deleted_first(run({**values, "lookUp": False})) == set()


def test_so_it_is_where_an_up_was_broken_off_that_was_to_move_the_host(sshd: Sshd) -> None:
    """What is recorded on the old machine serves until all of it is made on the new one."""
    values = drifting(sshd)
    before = dict(values)
    before["vps"] = {**stack(sshd, hostKey=host_key(3))["vps"], "firewall": "defaultDeny"}
    state = {
        **state_of(before),
        **{urn: each for urn, each in state_of(values).items() if urn.endswith("::vps-claim")},
    }
    assert deleted_first(run(values, state=state)) == set()
    assert deleted_first(run(values, state=state_of(values))) != set()


def test_what_is_lost_with_another_one_is_replaced_with_it(sshd: Sshd) -> None:
    made = run(drifting(sshd))
    along = {
        each.name: {urn.rpartition("::")[2] for urn in each.replaced_with} for each in made.commands
    }
    assert along.pop("laptop@preshared-key") == {"laptop"}
    assert along.pop("vps-firewall-kept") == {"vps-firewall"}
    assert {name: each for name, each in along.items() if each} == {}


def test_claim_and_helper_name_the_claimant_and_the_tenancy(sshd: Sshd) -> None:
    made = run(drifting(sshd), preview=False)
    tenant = f"{claimant('vps', sshd.host_key)} {TENANCY}"
    assert (
        f"uninstall reverse-tunnel/home {tenant};"
        in made.command("vps-claim", "vps").inputs["delete"]
    )
    assert f"install {tenant}" in made.command("vps-helper", "vps").inputs["stdin"]


def test_a_tenancy_is_that_of_a_machine_and_a_tunnel(sshd: Sshd) -> None:
    made = run(drifting(sshd))
    (tenancy,) = made.of_type("random:index/randomId:RandomId").values()
    assert tenancy.inputs["keepers"] == {"machine": sshd.host_key, "tunnel": "wg0"}


OTHERS = {"vps-helper", "vps-key", "vps-interface"}


def test_a_host_that_got_another_name_and_has_its_own_again_is_made_its_own(sshd: Sshd) -> None:
    """Else the other name's delete, which comes last, would find its own."""
    values = drifting(sshd, claimant=claimant("gateway", sshd.host_key))
    made = run(values, state=state_of(values))
    assert drifted(made) == OTHERS
    (warning,) = heard(made, "WARNING")
    assert "vps: its helper: claimed by another name" in warning


def test_a_host_that_gets_another_name_has_not_drifted(sshd: Sshd) -> None:
    """The state has nothing of it by that name yet."""
    values = drifting(sshd, claimant=claimant("gateway", sshd.host_key))
    made = run(values)
    assert drifted(made) == set()
    assert not heard(made, "WARNING")
