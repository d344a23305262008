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
from lab.progress import StepError, run_step, say

SUITE = "bookworm"

_SOMEBODY_ELSE = 3  # where everything speaks against it, see _strangeness

# Suites of Debian's main archive, by which its mirror is known among the machine's sources.
_SUITES = {"bookworm", "trixie", "forky", "oldstable", "stable", "testing", "unstable", "sid"}

_HOW_SIGNED = ("Signed-By", "Trusted")  # fields of a source that it may have besides

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

_WIREGUARD_GO = "golang.zx2c4.com/wireguard"
_WIREGUARD_MODULE = Path(__file__).parent / "wireguard"


def debian_tree() -> Path:
    """The tree, from the cache; built first if need be, which takes two minutes."""
    return release_tree(SUITE, PACKAGES)


def release_tree(suite: str, packages: tuple[str, ...]) -> Path:
    """A tree of that release of Debian with those packages, from the cache; built if need be."""
    pins = (suite, platform.machine(), _REVISION, *packages, *OFFERED, *_MASKED_UNITS)

    def build(folder: Path) -> None:
        _build(folder, suite, packages)

    return made_once("image", pins, build) / "tree"


def wireguard_go() -> Path | None:
    """A current wireguard-go, from the cache; built first if need be.

    None where Go is missing, or too old for it: the hosts then use Debian's own, which is slower.
    Where the kernel knows WireGuard neither is used.
    """

    def build(folder: Path) -> None:
        go = shutil.which("go")
        if go is None:
            raise StepError("Go is not installed")
        cache = folder / "go"
        (cache / "tmp").mkdir(parents=True)
        settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        environment = os.environ | {
            "CGO_ENABLED": "0",  # it must run on the tree's C library, or none
            "GOFLAGS": "-mod=readonly -trimpath -modcacherw",
            "GOMODCACHE": str(cache / "mod"),
            "GOCACHE": str(cache / "build"),
            "GOTMPDIR": str(cache / "tmp"),  # which it leaves full when it is killed
            "GOWORK": "off",
            # Its user's settings, such as a proxy, count; the counters of its use go elsewhere.
            "GOENV": os.environ.get("GOENV") or str(settings / "go/env"),
            "XDG_CONFIG_HOME": str(cache),
        }
        program = str(folder / "wireguard-go")
        command = [go, "build", "-v", "-ldflags=-s -w", "-o", program, _WIREGUARD_GO]
        run_step("building wireguard-go", command, env=environment, cwd=str(_WIREGUARD_MODULE))
        shutil.rmtree(cache)

    sums = (_WIREGUARD_MODULE / "go.sum").read_text()
    try:
        return made_once("wireguard-go", (sums, platform.machine()), build) / "wireguard-go"
    except StepError as error:
        say(f"{error}: the hosts use Debian's own, slower wireguard-go")
        return None


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
    options, mirror = _debootstrap_options(source, packages), _first_mirror(source["URIs"])
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


def machines_apt(workshop: Path, suite: str = SUITE) -> list[str]:
    """The words of an `apt-get` that downloads by the machine's mirror and installs nothing.

    Its lists, of that suite, are read and its archives lie in `workshop`, which it makes.
    """
    parts = workshop / "sources"
    for folder in ("lists/partial", "cache/archives/partial", "sources"):
        (workshop / folder).mkdir(parents=True)
    source = debian_source() | {"Suites": suite}
    stanza = "".join(f"{name}: {value}\n" for name, value in source.items())
    (parts / "debian.sources").write_text(stanza)
    settings = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": parts,
        "Dir::State::lists": workshop / "lists",
        "Dir::Cache": workshop / "cache",
        "APT::Sandbox::User": "root",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    apt = ["apt-get", *options]
    run_step("reading Debian's package lists", [*apt, "update"])
    return apt


def debian_source(folder: Path = Path("/etc/apt")) -> dict[str, str]:
    """The machine's own source of Debian, for our suite, as the fields of a deb822 stanza.

    Args:
        folder: apt's settings.

    Raises:
        StepError: the machine has no source whose mirror could serve the suite.
    """
    found = []
    for file in (folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))):
        if file.is_file():
            text = file.read_text(errors="replace")
            found += _stanzas(text) if file.suffix == ".sources" else _lines(text)
    archives = [
        fields
        for fields in found
        if "main" in fields["Components"].split()
        and _SUITES & {*fields["Suites"].split()}
        and _strangeness(fields) < _SOMEBODY_ELSE
    ]
    if not archives:
        raise StepError(
            f"no source of Debian's main archive is set up in {folder}/sources.list[.d]"
        )
    best = min(archives, key=_strangeness)
    return best | {"Types": "deb", "Suites": SUITE, "Components": "main"}


def _strangeness(source: dict[str, str]) -> int:
    """How much speaks against Debian's archive: other vendors call a suite `stable`, too."""
    signed = source.get("Signed-By", "")
    if "debian-archive" in signed:
        return 0
    mirror = source["URIs"].split()[0].rstrip("/")
    return bool(signed) + (not mirror.endswith("/debian")) + ("debian" not in mirror)


def _first_mirror(uris: str) -> str:
    """The first mirror, for debootstrap.

    Debian's cloud images give apt a file with a list of them, which debootstrap does not know.
    """
    first, listed = uris.split(maxsplit=1)[0], "mirror+file:"
    if not first.startswith(listed):
        return first
    lines = Path(first.removeprefix(listed)).read_text().splitlines()
    mirrors = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    if not mirrors:
        raise StepError(f"no mirror of Debian stands in {first.removeprefix(listed)}")
    return mirrors[0]


def _stanzas(text: str) -> list[dict[str, str]]:
    """The sources of a deb822 file."""
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if ":" in line and not line.startswith("#")]
        fields = {name.strip(): value.strip() for name, value in (x.split(":", 1) for x in lines)}
        wanted = {"Types", "URIs", "Suites", "Components"}
        if not wanted <= fields.keys() or fields.get("Enabled", "yes") == "no":
            continue
        if "deb" in fields["Types"].split():  # source code is none
            found.append({k: v for k, v in fields.items() if k in wanted | {*_HOW_SIGNED}})
    return found


def _lines(text: str) -> list[dict[str, str]]:
    """The sources of a one-line-style file."""
    found = []
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)", line)
        if match:
            options, uri, suite, components = match.groups()
            fields = {"Types": "deb", "URIs": uri, "Suites": suite, "Components": components}
            for name in _HOW_SIGNED:
                if given := re.search(rf"\b{name.lower()}=(\S+)", options or ""):
                    fields[name] = given[1]
            found.append(fields)
    return found


def _finish(tree: Path, offered: set[str]) -> None:
    """What every host has in common; what is a host's own lies in a layer above, see host.py."""
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
