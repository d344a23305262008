"""An `up` ends by saying whether the tunnel works, and if not, why that may be."""

from lab.lab import Lab
from tests.lab.deployment import Deployment, Step
from tests.lab.probes import LASTING, page
from tests.lab.provider import provider_blocks
from tests.support import eventually

# In this order they are worth looking at; each is told apart by these words.
CAUSES = (
    "1. The provider's own firewall, in its panel, does not let in 51820/udp",
    "IONOS: only tcp 22, 80, 443, 8443 and 8447 until it is opened",
    "2. A firewall on the VPS itself",
    "3. The servers dial another address. Check: 203.0.113.10:51820 is this VPS",
    "4. UDP is blocked where the server stands",
    "5. The server's clock",
    "6. The tunnel is not up on the server",
)
CHECKS = 6


def waits(lab: Lab) -> bool:
    """Whether the VPS waits for a handshake just now."""
    said = lab.host("vps").run(["pgrep", "-f", "reverse-tunnel 1 wait-handshake"], check=False)
    return said.returncode == 0


def test_a_blocked_port_is_said_with_its_likely_causes_and_up_goes_on_when_it_is_open(
    lab: Lab, fresh: Deployment
) -> None:
    """Nothing is lost meanwhile: the next `up` has only the waiting left to do."""
    with provider_blocks(lab, 51820):
        up = fresh.up(check=False)
        assert up.returncode != 0
        # What is known is there, such as a client's file, whatever has failed.
        assert fresh.output("publicKeys")["homelab"]
        assert fresh.output("clientConfigs")["laptop"]
        said = " ".join((up.stdout + up.stderr).split())
        places = [said.find(words) for words in CAUSES]
        assert -1 not in places, dict(zip(CAUSES, places, strict=True))
        assert places == sorted(places)
        assert said.count("Check: ", places[0]) >= CHECKS
        assert "no handshake from " in said
        for server in ("homelab", "attic"):
            assert server in said[said.find("no handshake from ") : places[0]]

        assert fresh.preview_steps() == [Step("create", "command:remote:Command", "handshake")]
        again = lab.operator.popen(fresh.words("up", "--yes", "--skip-preview"))
        eventually(lambda: waits(lab), 60, "the second up does not wait for a handshake")
    # The servers try anew every five seconds.
    output, errors = again.communicate()
    assert again.returncode == 0, output + errors
    assert fresh.preview_steps() == []
    assert (
        page(lab.host("client"), "203.0.113.10:80", LASTING)
        == "homelab:8080 sees you as 198.51.100.10"
    )
