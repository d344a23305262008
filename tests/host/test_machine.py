"""The test machines themselves."""

import pytest

from tests.host.tunnel import Tunnel
from tests.host.userspace import has_wireguard

RUNS = "pgrep --full 'wireguard-go wg0$'"


def test_a_tunnel_that_is_down_has_no_program_that_would_take_the_next_one_s_socket(
    vps: Tunnel,
) -> None:
    if has_wireguard(vps.machine):
        pytest.skip("the kernel has WireGuard")
    for _ in range(5):
        assert vps.machine.run(RUNS).stdout
        vps.machine.run("wg-quick down wg0")
        assert vps.machine.run(RUNS, check=False).stdout == ""
        vps.machine.run("wg-quick up wg0")
        assert vps.machine.run("wg show wg0 listen-port").stdout == "51820\n"
        # Nor has one whose interface somebody has taken away.
        vps.machine.run("ip link del wg0; wg-quick up wg0")
        assert vps.machine.run("wg show wg0 listen-port").stdout == "51820\n"
