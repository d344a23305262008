"""What makes a copy of the image one particular host: names, keys, users, services.

It is a layer of its own between the image and what the host writes, so a host that is made anew
keeps its identity.
"""

import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

from lab.hosts import topology
from lab.images.tree import tool

_SERVICES = Path(__file__).parent / "services"
_SERVICES_ON_HOST = "usr/local/lib/lab"
_GENERATORS = "usr/lib/systemd/system-generators"
_USER_ID = 1000

# vps.example.org is the design's example of a name that peers dial.
_NAMES = "".join(
    f"{host.address}\t{host.name} {host.name}.example.org\n" for host in topology.NODES
)

_UNIT = """\
[Unit]
Description=Lab service {name}
After=network.target

[Service]
ExecStart=/usr/bin/python3 /{folder}/{command}
Restart=always

[Install]
WantedBy=multi-user.target
"""

# A router drops what comes unasked from the side it hides its network from.
_NAT_RULES = """\
*nat
-A POSTROUTING -o {wan} -j MASQUERADE
COMMIT
*filter
-A FORWARD -i {wan} -m conntrack ! --ctstate ESTABLISHED,RELATED -j DROP
-A INPUT -i {wan} -m conntrack ! --ctstate ESTABLISHED,RELATED -j DROP
COMMIT
"""

# Where there is no systemd, this is what a host does at boot. The rules come first: the kernel has
# no settings of connection tracking before something needs it.
_BOOT_SCRIPT = """\
#!/bin/sh
set -eu
[ ! -e /etc/iptables.rules ] || iptables-restore </etc/iptables.rules
[ ! -e /etc/sysctl.d/lab.conf ] || sysctl -q -p /etc/sysctl.d/lab.conf
{services}: >/run/lab-ready
exec sleep infinity
"""

READY_FILE = "run/lab-ready"
BOOT_SCRIPT = f"/{_SERVICES_ON_HOST}/boot"
MAPPING_LIFE_FILE = "/etc/sysctl.d/lab.conf"


def mapping_life_settings(seconds: int) -> str:
    """The sysctl lines that let idle UDP mappings of a NAT router live for so long."""
    names = ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream")
    return "".join(f"net.netfilter.{name}={seconds}\n" for name in names)


def lay_common(layer: Path, tree: Path, wireguard_go: Path | None) -> None:
    """Fill the layer that all hosts share: the lab's services, a current wireguard-go."""
    shutil.copytree(_SERVICES, layer / _SERVICES_ON_HOST)
    # No host has seats; this saves the machine inotify instances, see requirements.py.
    logind = layer / "etc/systemd/system/systemd-logind.service"
    logind.parent.mkdir(parents=True)
    logind.symlink_to("/dev/null")
    # Nor disks or consoles, for which systemd runs a dozen programs whenever a unit is enabled:
    # they were a sixth of all that ran during the lab's tests.
    generators = layer / _GENERATORS.replace("usr/lib", "etc")
    generators.mkdir()
    for program in (tree / _GENERATORS).iterdir():
        (generators / program.name).symlink_to("/dev/null")
    if wireguard_go:
        # In the place of Debian's: wg-quick looks into its own folder first.
        place = layer / "usr/bin/wireguard-go"
        place.parent.mkdir(parents=True)
        shutil.copy2(wireguard_go, place)


def lay_identity(host: topology.Node, layer: Path, tree: Path, public_key: str) -> None:
    """Fill the host's own layer.

    Args:
        host: which host.
        layer: an empty folder.
        tree: the image.
        public_key: the line that lets the operator log in.
    """
    _write(layer / "etc/hostname", f"{host.name}\n")
    _write(layer / "etc/hosts", f"127.0.0.1\tlocalhost\n127.0.1.1\t{host.name}\n{_NAMES}")
    # Without one systemd takes this for the first boot ever and resets what is enabled.
    _write(layer / "etc/machine-id", sha256(str(layer).encode()).hexdigest()[:32] + "\n")
    if host.login:
        _lay_login(host.login, layer, tree, public_key)
        for service in host.services:
            unit = f"lab-{service.name}.service"
            folder = layer / "etc/systemd/system"
            text = _UNIT.format(
                name=service.name, folder=_SERVICES_ON_HOST, command=service.command
            )
            _write(folder / unit, text)
            wants = folder / "multi-user.target.wants"
            wants.mkdir(exist_ok=True)
            (wants / unit).symlink_to(f"../{unit}")
    else:
        lines = (f"python3 /{_SERVICES_ON_HOST}/{service.command} &\n" for service in host.services)
        _write(layer / BOOT_SCRIPT[1:], _BOOT_SCRIPT.format(services="".join(lines)), 0o755)
    if host.masquerades:
        _write(layer / "etc/iptables.rules", _NAT_RULES.format(wan=host.interfaces[0].name))
    if host.mapping_life is not None:
        _write(layer / MAPPING_LIFE_FILE[1:], mapping_life_settings(host.mapping_life))


def new_key(path: Path, tree: Path, comment: str) -> str:
    """Make an SSH key pair at `path` and return its public line without the comment."""
    command = ["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]
    subprocess.run([*tool(tree, "ssh-keygen"), *command], check=True)
    return public_line(path)


def public_line(path: Path) -> str:
    """The public half of the key at `path`, as `TYPE BASE64`."""
    text = path.with_name(path.name + ".pub").read_text()
    return " ".join(text.split()[:2])


def host_key_file(layer: Path) -> Path:
    """Where a host's SSH key lies in its layer."""
    return layer / "etc/ssh/ssh_host_ed25519_key"


def _lay_login(login: topology.Login, layer: Path, tree: Path, public_key: str) -> None:
    key = host_key_file(layer)
    key.parent.mkdir(parents=True)
    new_key(key, tree, "lab")
    is_root = login.user == "root"
    settings = f"HostKey /{key.relative_to(layer)}\nPasswordAuthentication no\n"
    settings += f"PermitRootLogin {'prohibit-password' if is_root else 'no'}\n"
    _write(layer / "etc/ssh/sshd_config.d/lab.conf", settings)
    home = layer / ("root" if is_root else f"home/{login.user}")
    if not is_root:
        _add_user(login.user, layer, tree)
    _write(home / ".ssh/authorized_keys", f"{public_key}\n", 0o600)
    (home / ".ssh").chmod(0o700)
    home.chmod(0o700)
    if not is_root:
        for path in (home, home / ".ssh", home / ".ssh/authorized_keys"):
            shutil.chown(path, _USER_ID, _USER_ID)


def _add_user(user: str, layer: Path, tree: Path) -> None:
    lines = {
        "passwd": f"{user}:x:{_USER_ID}:{_USER_ID}::/home/{user}:/bin/bash",
        "group": f"{user}:x:{_USER_ID}:",
        "shadow": f"{user}:*:19000:0:99999:7:::",
        "gshadow": f"{user}:!::",
    }
    for name, line in lines.items():
        before = tree / "etc" / name
        _write(layer / "etc" / name, before.read_text() + line + "\n")
        shutil.copystat(before, layer / "etc" / name)
        owner = before.stat()
        shutil.chown(layer / "etc" / name, owner.st_uid, owner.st_gid)
    _write(layer / f"etc/sudoers.d/{user}", f"{user} ALL=(ALL) NOPASSWD: ALL\n", 0o440)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
