"""`make demo`: what a person sees first."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.failure import LabError
from lab.lab import Lab
from lab.stack import ensure_stack, remove_stack_file, stack_file, write_stack
from tests.lab.probes import LASTING, VPS, greeting
from tests.lab.test_labs import LONG, traces
from tests.support import eventually

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


def in_git() -> str:
    """What git finds changed in the checkout."""
    status = ["git", "status", "--porcelain"]
    return subprocess.run(
        status, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def printed(text: str) -> list[str]:
    """The commands that the demo offers at its end."""
    offered = text.partition("Three things to try:")[2]
    return re.split(r"^  (?=lab/)", offered, flags=re.MULTILINE)[1:]


def ran(lab: Lab, command: str, **environment: str) -> str:
    """What a line says that a person copies into a shell."""
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=CHECKOUT,
        env=os.environ | {"REVERSE_TUNNEL_LAB": lab.name} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_shows_both_pages_and_stays_up_and_its_end_leaves_nothing(demo_lab: Lab) -> None:
    before = in_git()
    for what in ("39 created", "39 unchanged"):  # a second run changes nothing
        done = call(demo_lab, "demo")
        assert done.returncode == 0, done.stderr
        assert what in done.stdout
        for port in (8080, 8081):
            assert f"homelab:{port} sees you as 198.51.100.10" in done.stdout
        assert "reverse-tunnel:index:PortForward               https" in done.stdout
        assert "lab/run --on client curl" in done.stdout
    assert demo_lab.is_up
    assert in_git() == before

    forward, reboot, destroy = printed(done.stdout)
    assert "+ 2 created" in ran(demo_lab, forward)
    assert (greeting(demo_lab.host("client"), VPS, 2222, LASTING) or "").startswith("SSH-2")
    assert ran(demo_lab, reboot).strip() == "homelab:8080 sees you as 198.51.100.10"
    # Without --on everything is selected, whatever else its user works with.
    elsewhere = {"PULUMI_BACKEND_URL": "file:///nowhere", "PULUMI_STACK": "other"}
    assert "203.0.113.10:2222" in ran(demo_lab, "lab/run pulumi stack output forwards", **elsewhere)

    # It looks at what really comes back: with a page that is gone it fails and says so.
    demo_lab.host("homelab").run("systemctl stop lab-web-8081")
    done = call(demo_lab, "demo")
    assert done.returncode == 1
    assert "lab: on client: " in done.stderr

    left = ran(demo_lab, destroy)
    assert "- 41 deleted" in left
    assert "RT-" not in left
    assert "wg0.conf" not in left
    assert call(demo_lab, "down").returncode == 0
    eventually(lambda: traces(demo_lab) == [], LONG, "something is left of the lab")
    assert in_git() == before


def test_two_demos_at_once_both_show_the_pages(demo_lab: Lab) -> None:
    """The engine itself would let only one of them in."""
    with ThreadPoolExecutor() as pool:
        both = [each.result() for each in [pool.submit(call, demo_lab, "demo") for _ in range(2)]]
    for done in both:
        assert done.returncode == 0, done.stdout + done.stderr
        assert "homelab:8080 sees you as 198.51.100.10" in done.stdout
    for what in ("39 created", "39 unchanged"):
        assert len([done for done in both if what in done.stdout]) == 1
    assert any("lab: waiting for another make demo" in done.stderr for done in both)


class Here:
    """In the place of a host: this machine."""

    working_folder = Path("/")

    def prefix(self) -> list[str]:
        return []

    def environment(self) -> dict[str, str]:
        return {**os.environ}


_SHOWN = """
import signal, sys
signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
from lab import tour
from tests.lab.test_demo import Here
words = 'trap "sleep 1; echo in order; exit 1" INT; echo begun; while :; do sleep 0.1; done'
tour._show(Here(), ["bash", "-c", words])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_engine_ends_in_order(number: signal.Signals) -> None:
    """Killed, it would leave the stack locked; and it takes a second Ctrl-C for a wish to be."""
    command = ["env", "--default-signal=INT,TERM", sys.executable, "-c", _SHOWN]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as shown:
        assert shown.stdout is not None
        assert shown.stdout.readline() == "begun\n"
        shown.send_signal(number)
        assert shown.stdout.read() == "in order\n"
    assert shown.returncode in {-signal.SIGINT, 128 + signal.SIGTERM}


@pytest.fixture(scope="module")
def own() -> Iterator[Lab]:
    """A lab without a stack, which no other tests share."""
    with Lab(f"test-{os.getpid()}-own").standing() as lab:
        yield lab


def test_a_stack_that_was_half_made_is_made_anew(own: Lab) -> None:
    """Its making was interrupted; two who come at once make it once."""
    ensure_stack(own)
    assert "# The lab's (make demo)" in stack_file(own).read_text()
    (own.state / "stack").unlink()
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(ensure_stack, own) for _ in range(2)]:
            done.result()
    own.operator.run(["pulumi", "config", "set", "--path", "forwards.ssh.port", "2222"])
    remove_stack_file(own)
    assert not stack_file(own).exists()


@pytest.mark.parametrize("again", [True, False])
def test_a_stack_whose_making_was_interrupted_is_the_labs(own: Lab, *, again: bool) -> None:
    ensure_stack(own)
    (own.state / "stack").unlink()
    stack_file(own).write_text("encryptionsalt: by pulumi stack init\n")
    if again:
        ensure_stack(own)
        assert "# The lab's (make demo)" in stack_file(own).read_text()
    remove_stack_file(own)
    assert not stack_file(own).exists()


def test_a_stack_file_of_that_name_that_no_lab_has_made_stays(own: Lab) -> None:
    for record in ("stack", "stack.begun"):
        (own.state / record).unlink(missing_ok=True)
    file = stack_file(own)
    file.write_text("encryptionsalt: mine\n")
    with pytest.raises(LabError, match=r"Pulumi\.lab\.yaml is not the lab's, .*rename your stack"):
        ensure_stack(own)
    remove_stack_file(own)
    assert file.read_text() == "encryptionsalt: mine\n"
    file.unlink()


def test_a_lab_of_another_checkout_is_left_to_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVERSE_TUNNEL_CACHE", str(tmp_path))
    lab = Lab()
    lab.state.mkdir(parents=True)
    lab.require_ours()
    (lab.state / "checkout").write_text("/home/ann/tunnel")
    with pytest.raises(LabError, match="that of /home/ann/tunnel: use it there, or end it"):
        lab.require_ours()
    assert stack_file(lab) == Path("/home/ann/tunnel/stacks/Pulumi.lab.yaml")


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
