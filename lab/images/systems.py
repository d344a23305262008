"""Systems that a lab host can have beside the image: other releases, and the image with more.

Each is a stack of folders under a host's own layers, the lowest last, see `Host.reset`.
"""

import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.cache import made_once
from lab.images.apt import SUITE, machines_apt
from lab.images.image import debian_tree, release_tree
from lab.progress import run_step

# Debian's releases before and after the image's.
RELEASES = ("bullseye", "trixie")

# A host's essentials; what the image has for looking around is of no use there. WireGuard's program
# comes from the common layer, since Debian 11 has none.
_ESSENTIALS = (
    "conntrack",
    "iproute2",
    "iptables",
    "kmod",
    "openssh-server",
    "procps",
    "python3",
    "systemd",
    "systemd-sysv",
    "wireguard-tools",
)

# Whose rules stand beside ours on other people's hosts.
NEIGHBOURS = ("docker.io", "firewalld", "ufw")

# None of them runs before a test wants it.
_UNITS = ("containerd.service", "docker.service", "docker.socket", "firewalld.service")

# What the benchmark measures with, and what it measures.
MEASURING = ("nghttp2-client", "nginx-light", "openvpn", "wrk")
_MEASURING_UNITS = ("nginx.service", "openvpn.service")

_REVISION = "1"  # raise it when this file makes another layer of the same packages


def release(suite: str) -> tuple[Path, ...]:
    """Another release of Debian; built first if need be, which takes a minute."""
    return (release_tree(suite, _ESSENTIALS),)


def crowded() -> tuple[Path, ...]:
    """The image with ufw, firewalld and Docker installed, none of them enabled."""
    return _with_packages("neighbours", NEIGHBOURS, _UNITS)


def contenders() -> tuple[Path, ...]:
    """The image with what the benchmark measures with, and against, none of it enabled."""
    return _with_packages("benchmark", MEASURING, _MEASURING_UNITS)


def debians_wireguard_go(suite: str) -> Path:
    """A layer with the wireguard-go of that suite of Debian, as /opt/wireguard-go-SUITE."""

    def build(folder: Path) -> None:
        with _unpacked("wireguard-go", suite, folder / "workshop") as package:
            (folder / "opt").mkdir()
            shutil.copy2(package / "usr/bin/wireguard-go", folder / f"opt/wireguard-go-{suite}")

    return made_once("debians-wireguard-go", (suite, platform.machine()), build)


def faketime() -> Path:
    """The library that gives a program another clock, which may be set while it runs."""

    def build(folder: Path) -> None:
        with _unpacked("libfaketime", SUITE, folder / "workshop") as package:
            (library,) = package.glob("usr/lib/*/faketime/libfaketime.so.1")
            shutil.copy2(library, folder)

    return made_once("faketime", (SUITE, platform.machine()), build) / "libfaketime.so.1"


@contextmanager
def _unpacked(package: str, suite: str, workshop: Path) -> Iterator[Path]:
    """A folder with what a package of that suite of Debian holds; it goes with the block."""
    fetch = [*machines_apt(workshop, suite), "download", package]
    run_step(f"fetching {suite}'s {package}", fetch, cwd=str(workshop))
    (archive,) = workshop.glob("*.deb")
    subprocess.run(["dpkg", "-x", str(archive), str(workshop)], check=True)
    try:
        yield workshop
    finally:
        shutil.rmtree(workshop)


def _with_packages(
    name: str, packages: tuple[str, ...], units: tuple[str, ...]
) -> tuple[Path, ...]:
    """The image and a layer with these packages; the units that they enable are disabled again."""
    tree = debian_tree()
    pins = (tree.parent.name, _REVISION, *packages, *units)

    def build(folder: Path) -> None:
        _build(folder, tree, packages, units)

    return made_once(name, pins, build) / "layer", tree


def _build(folder: Path, tree: Path, packages: tuple[str, ...], units: tuple[str, ...]) -> None:
    workshop = folder / "workshop"
    apt = machines_apt(workshop)
    # What the tree has already is not fetched.
    wanted = ["--yes", "--no-install-recommends", "--download-only", "install", *packages]
    state = ["-o", f"Dir::State::status={tree}/var/lib/dpkg/status"]
    run_step(f"fetching {', '.join(packages)}", [*apt, *state, *wanted])
    layer, work, root = folder / "layer", folder / "work", folder / "root"
    for path in (layer, work, root):
        path.mkdir()
    layer.chmod(0o755)  # it is the root folder of hosts
    script = f"""
        mount -t overlay -o lowerdir={tree},upperdir={layer},workdir={work} overlay {root}
        mount -t tmpfs tmpfs {root}/run
        mkdir {root}/run/archives
        mount --bind {workshop}/cache/archives {root}/run/archives
        chroot {root} sh -c 'dpkg --force-unsafe-io --install /run/archives/*.deb'
        chroot {root} systemctl --quiet disable {" ".join(units)}
    """
    # In namespaces of its own: whatever it mounts or starts ends with it, also when interrupted.
    run_step(
        "installing them beside the image",
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", script],
        env={"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin"},
    )
    for path in (workshop, work, root):
        shutil.rmtree(path)
