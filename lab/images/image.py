"""The image: one Debian 12 tree that every lab host starts from, and whose tools the lab uses.

Nothing is installed on the machine. debootstrap itself is downloaded and unpacked into the cache,
and everything else that the lab needs (ip, systemd-nspawn, iptables, ssh-keygen) is run from the
tree. Of the machine it takes a Debian's `apt` and `dpkg`, and util-linux.
"""

import os
import platform
import re
import shutil
import stat
import subprocess
import textwrap
from pathlib import Path

from lab.cache import made_once
from lab.images.apt import SUITE, debian_source, first_mirror, machines_apt
from lab.progress import run_step

# What a VPS or a server at home has, and what the tests look with.
PACKAGES = (
    "ca-certificates",
    "conntrack",
    "curl",
    "dbus",
    "ethtool",
    "iperf3",
    "iproute2",
    "iptables",
    "iputils-ping",
    "kmod",
    "netcat-openbsd",
    "nftables",
    "openssh-client",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "systemd",
    "systemd-container",
    "systemd-sysv",
    "tcpdump",
    "wireguard-go",
    "wireguard-tools",
)

# Their archives stay in the tree as a small local repository, so that a host without one of them
# can really install it although the lab has no way out.
OFFERED = ("conntrack", "iptables", "wireguard-go", "wireguard-tools")
_REPOSITORY = "var/lib/lab-packages"

# They would change a host's files in the middle of a test, or wait for a person.
_MASKED_UNITS = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-tmpfiles-clean.timer",
)

_REVISION = "1"  # raise it when this file makes another tree of the same packages


def debian_tree() -> Path:
    """The tree, from the cache; built first if need be, which takes two minutes."""
    return release_tree(SUITE, PACKAGES)


def release_tree(suite: str, packages: tuple[str, ...]) -> Path:
    """A tree of that release of Debian with those packages, from the cache; built if need be."""
    pins = (suite, platform.machine(), _REVISION, *packages, *OFFERED, *_MASKED_UNITS)

    def build(folder: Path) -> None:
        _build(folder, suite, packages)

    return made_once("image", pins, build) / "tree"


def _build(folder: Path, suite: str, packages: tuple[str, ...]) -> None:
    workshop = folder / "workshop"
    apt = machines_apt(workshop)
    run_step("fetching debootstrap", [*apt, "download", "debootstrap"], cwd=str(workshop))
    (archive,) = workshop.glob("debootstrap_*.deb")
    subprocess.run(["dpkg", "-x", str(archive), str(workshop)], check=True)
    program = workshop / "usr/sbin/debootstrap"
    (workshop / "bin").mkdir()
    downloader = workshop / "bin" / "wget"
    # debootstrap wants wget, which a small machine lacks; apt's own downloader is always there,
    # and goes the way out (proxy, certificates) that the machine's apt is set up for.
    downloader.write_text(
        textwrap.dedent("""\
        #!/bin/sh
        while [ $# -gt 0 ]; do
          case $1 in -O) into=$2; shift ;; -*) ;; *) from=$1 ;; esac
          shift
        done
        exec /usr/lib/apt/apt-helper -qq -o APT::Sandbox::User=root download-file "$from" "$into"
        """)
    )
    downloader.chmod(0o755)
    tree = folder / "tree"
    # In namespaces of its own: whatever it mounts or starts ends with it, also when interrupted.
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    source = debian_source()
    options, mirror = _debootstrap_options(source, packages), first_mirror(source["URIs"])
    run_step(
        f"installing Debian {suite} into the cache, once",
        [*apart, "/bin/sh", str(program), *options, suite, str(tree), mirror],
        env=os.environ
        | {
            "PATH": f"{workshop}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "DEBOOTSTRAP_DIR": str(workshop / "usr/share/debootstrap"),
            "LC_ALL": "C",
        },
    )
    _finish(tree, {*OFFERED} & {*packages})
    shutil.rmtree(workshop)


def _debootstrap_options(source: dict[str, str], packages: tuple[str, ...]) -> list[str]:
    """How debootstrap makes the tree of that source; apt reads itself how its files are signed."""
    options = ["--variant=minbase", f"--include={','.join(packages)}"]
    key = source.get("Signed-By", "")
    if source.get("Trusted") == "yes":
        options.append("--no-check-gpg")
    elif key.startswith("/") and key.endswith(".gpg") and "debian-archive" not in key:
        options.append(f"--keyring={key}")
    return options


def _finish(tree: Path, offered: set[str]) -> None:
    """What all hosts have in common; a host's own lies in a layer above, see hosts/identity.py."""
    _keep_packages(tree, offered)
    for folder in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/log"):
        _empty(tree / folder)
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()  # every host has its own
    for unit in _MASKED_UNITS:
        (tree / "etc/systemd/system" / unit).symlink_to("/dev/null")
    (tree / "etc/machine-id").write_text("")
    # No name server: a look-up fails at once instead of after its time-out.
    (tree / "etc/resolv.conf").write_text("")
    # /run, /tmp, /dev are made anew at every start.
    for folder in ("run", "tmp"):
        _empty(tree / folder)


def _keep_packages(tree: Path, offered: set[str]) -> None:
    """Turn the downloaded archives of those packages into a local repository, drop all others."""
    archives = tree / "var/cache/apt/archives"
    lists = tree / "var/lib/apt/lists"
    repository = tree / _REPOSITORY
    repository.mkdir(parents=True)
    repository.chmod(0o755)  # hosts' apt reads it as a user of its own
    stanzas = []
    for file in lists.glob("*_Packages"):
        for stanza in file.read_text().split("\n\n"):
            name = re.match(r"Package: (\S+)", stanza)
            path = re.search(r"^Filename: (\S+)$", stanza, re.MULTILINE)
            if name and path and name[1] in offered:
                base = Path(path[1]).name
                found = next(archives.glob(base.replace(":", "%3a")), None)
                if found is None:
                    found = next(archives.glob(f"{name[1]}_*.deb"))
                shutil.move(found, repository / base)
                stanzas.append(stanza.replace(path[0], f"Filename: ./{base}").strip())
    (repository / "Packages").write_text("\n\n".join(stanzas) + "\n")
    source = f"deb [trusted=yes] file:/{_REPOSITORY} ./\n"
    (tree / "etc/apt/sources.list").write_text(source)
    _empty(archives)
    _empty(lists)


def _empty(folder: Path) -> None:
    """Remove what is in `folder`; an interrupted mount point is not followed."""
    for entry in folder.iterdir():
        if stat.S_ISDIR(entry.lstat().st_mode):
            shutil.rmtree(entry)
        else:
            entry.unlink()
