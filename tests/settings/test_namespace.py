"""Whose a key of a stack's configuration is, and what becomes of one that is nearly ours."""

import pytest

from settings import SettingsError, in_namespace

OWN = {"reverse-tunnel:vps": 1, "reverse-tunnel:lookUp": "false"}
OTHERS = ("hcloud:token", "aws:region", "pulumi:tags", "pulumi:template", "reverse-proxy:port")


def test_only_the_projects_own_keys_are_read() -> None:
    assert in_namespace("reverse-tunnel", {**OWN, **dict.fromkeys(OTHERS)}) == {
        "vps": 1,
        "lookUp": "false",
    }


@pytest.mark.parametrize(
    "slip",
    ["reverse-tunel", "reverse_tunnel", "reversetunnel", "Reverse-Tunnel", "reverse-tunnels"],
)
def test_a_namespace_that_is_nearly_the_projects_is_refused(slip: str) -> None:
    """Left out, it would take off the hosts what it describes."""
    with pytest.raises(SettingsError) as refused:
        in_namespace("reverse-tunnel", {**OWN, f"{slip}:clients": {}})

    assert f'"{slip}:clients": is of another namespace' in str(refused.value)
    assert "(perhaps reverse-tunnel:clients)" in str(refused.value)


def test_all_of_them_are_named_at_once() -> None:
    slips = dict.fromkeys(("reverse-tunel:clients", "reverse-tunel:forwards"))

    with pytest.raises(SettingsError, match=r"(?s)2 errors.*:clients.*:forwards"):
        in_namespace("reverse-tunnel", slips)
