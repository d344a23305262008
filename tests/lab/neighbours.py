"""Other people's programs on a host (lab/images/systems.py): how they start, what is theirs."""

import re

from lab.hosts.host import Host

# Sends back what it gets, and says whom it sees; at this port of the host.
CONTAINER_PORT = 8000

_POLICY = re.compile(r":(\S+) (\S+)")


def start_ufw(host: Host) -> None:
    """A firewall that lets in SSH alone, now and after a reboot."""
    host.run("ufw allow 22/tcp; ufw --force enable")


def start_docker(host: Host) -> None:
    """Docker with one container, published by TCP and UDP; it comes back whenever Docker starts."""
    # The host's own programs in an image that has nothing but the links to them.
    host.run(
        "systemctl enable --now docker && tar c -C / bin lib lib64 sbin | docker import - shell"
    )
    publish = f"--publish={CONTAINER_PORT}:5000 --publish={CONTAINER_PORT}:5000/udp"
    # It would take its time to be told to end.
    life = "--restart=always --stop-signal=KILL"
    host.run(
        f"docker run --detach {life} {publish} --volume=/usr:/usr:ro shell"
        " python3 /usr/local/lib/lab/echo.py 5000"
    )


def theirs(host: Host) -> list[str]:
    """Every rule and policy on a host that is not ours, of each table, sorted."""
    found = []
    for tool in ("iptables", "ip6tables"):
        table = ""
        for line in host.run(f"{tool}-save").stdout.splitlines():
            if line.startswith("*"):
                table = f"{tool} {line[1:]}"
            elif line.startswith("-A") and "RT-" not in line:
                found.append(f"{table} {line}")
            elif (policy := _POLICY.match(line)) and policy[2] == "DROP":
                found.append(f"{table} {policy[0]}")
    tables = host.run("nft list table inet firewalld", check=False).stdout
    return sorted(found) + tables.splitlines()


def has_ours(host: Host) -> bool:
    """Whether any rule of ours is there."""
    return "RT-" in host.run("iptables-save; ip6tables-save").stdout
