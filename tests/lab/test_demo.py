"""`make demo`: what a person sees first."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.lab import Lab
from lab.stack import stack_file, write_stack
from tests.lab.test_labs import traces

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def demo_lab() -> Iterator[Lab]:
    """The lab of the demo, under a name of its own."""
    lab = Lab(f"test-{os.getpid()}-demo")
    yield lab
    lab.down()


def call(lab: Lab, program: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"REVERSE_TUNNEL_LAB": lab.name}
    return subprocess.run(
        [CHECKOUT / "lab" / program], env=environment, capture_output=True, text=True, check=False
    )


def test_the_demo_shows_both_pages_and_stays_up_and_its_end_leaves_nothing(demo_lab: Lab) -> None:
    for what in ("36 created", "36 unchanged"):  # a second run changes nothing
        done = call(demo_lab, "demo")
        assert done.returncode == 0, done.stderr
        assert what in done.stdout
        for port in (8080, 8081):
            assert f"homelab:{port} sees you as 198.51.100.10" in done.stdout
        assert "reverse-tunnel:index:PortForward               https" in done.stdout
        assert "lab/run --on client curl" in done.stdout
    assert demo_lab.is_up

    # It looks at what really comes back: with a page that is gone it fails and says so.
    demo_lab.host("homelab").run("systemctl stop lab-web-8081")
    done = call(demo_lab, "demo")
    assert done.returncode == 1
    assert "lab: on client: " in done.stderr

    assert call(demo_lab, "down").returncode == 0
    assert traces(demo_lab) == []


def test_git_ignores_the_one_file_that_the_demo_writes_into_the_checkout() -> None:
    file = stack_file(Lab())
    assert file.is_relative_to(CHECKOUT)
    for path, status in ((file, 0), (file.with_name("Pulumi.home.yaml"), 1)):
        ignored = subprocess.run(["git", "check-ignore", "-q", path], cwd=CHECKOUT, check=False)
        assert ignored.returncode == status


def test_the_key_of_the_labs_stack_is_kept_encrypted(lab: Lab) -> None:
    """The stack file is what people keep in git."""
    write_stack(lab, "kept")
    text = stack_file(lab, "kept").read_text()
    secret = lab.ssh_key.read_text().splitlines()[1:-1]
    assert secret
    assert not any(line in text for line in secret)
    assert "secure: v1:" in text
    assert lab.host("vps").host_key in text
