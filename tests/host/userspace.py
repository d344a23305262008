"""WireGuard's programs in userspace, on a machine whose kernel has none."""

from tests.host.machine import Machine


def has_wireguard(machine: Machine) -> bool:
    """Whether the kernel has its own, so that no program of userspace is ever started."""
    return machine.run("test -e /sys/module/wireguard", check=False).status == 0


def version_of(machine: Machine, program: str = "wireguard-go") -> str:
    """What the program says of itself: `0.0.20250522`."""
    first = machine.run(f"{program} --version").stdout.splitlines()[0]
    return first.removeprefix("wireguard-go v")


def take_debians(machine: Machine) -> None:
    """Put the program of the machine's release of Debian, of 2022, in the current one's place."""
    machine.run(
        "dpkg -x /var/lib/lab-packages/wireguard-go_*.deb /opt/debian;"
        "mv -f /opt/debian/usr/bin/wireguard-go /usr/bin/wireguard-go"
    )
