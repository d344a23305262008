"""The machine's own apt, by which everything of Debian's is downloaded; it installs nothing."""

import re
from pathlib import Path

from lab.progress import StepError, run_step

SUITE = "bookworm"

_SOMEBODY_ELSE = 5  # where everything speaks against it, see _strangeness

# Suites of Debian's main archive, by which its mirror is known among the machine's sources.
_SUITES = {"bookworm", "trixie", "forky", "oldstable", "stable", "testing", "unstable", "sid"}

_HOW_SIGNED = ("Signed-By", "Trusted")  # fields of a source that it may have besides


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
    # Another's key says more than the whole name, which a company chooses for its mirror.
    return 3 * bool(signed) + (not mirror.endswith("/debian")) + ("debian" not in mirror)


def first_mirror(uris: str) -> str:
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
