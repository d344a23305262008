"""The image comes from the mirror that the machine's own apt is set up for."""

from pathlib import Path

import pytest

from lab.images import image
from lab.images.apt import debian_source, first_mirror
from lab.progress import StepError

DEB822 = """\
# A comment: with a colon
Types: deb
URIs: https://mirror.example.org/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://mirror.example.org/debian-security
Suites: bookworm-security
Components: main
"""
ONE_LINE = """\
deb [arch=amd64 signed-by=/usr/share/other.gpg] https://vendor.example.com/browser stable main
# deb https://old.example.org/debian bookworm main
deb-src https://mirror.example.org/debian bookworm main
deb https://mirror.example.org/debian/ bookworm main non-free
"""
DISABLED = DEB822.replace("Types: deb", "Enabled: no\nTypes: deb")


def apt(folder: Path, **files: str) -> Path:
    (folder / "sources.list.d").mkdir()
    for name, text in files.items():
        place = "sources.list" if name == "sources_list" else f"sources.list.d/{name}.sources"
        (folder / place).write_text(text)
    return folder


def test_a_source_in_the_new_style_is_found(tmp_path: Path) -> None:
    assert debian_source(apt(tmp_path, debian=DEB822)) == {
        "Types": "deb",
        "URIs": "https://mirror.example.org/debian",
        "Suites": "bookworm",
        "Components": "main",
        "Signed-By": "/usr/share/keyrings/debian-archive-keyring.gpg",
    }


def test_a_source_in_the_old_style_is_found_behind_a_vendors(tmp_path: Path) -> None:
    """Vendors, too, call what they offer `stable main`."""
    source = debian_source(apt(tmp_path, sources_list=ONE_LINE))
    assert source["URIs"] == "https://mirror.example.org/debian/"
    assert "Signed-By" not in source


@pytest.mark.parametrize(
    "theirs",
    [
        "https://x.example.com/linux/debian/amd64 stable main",
        "[signed-by=/usr/share/keyrings/vendor.gpg] https://x.example.com/debian stable main",
        "[signed-by=/usr/share/keyrings/vendor.gpg] https://x.example.com/repos stable main",
    ],
)
def test_a_vendors_own_folder_of_that_name_is_not_taken_for_it(tmp_path: Path, theirs: str) -> None:
    """Its file may come first."""
    folder = apt(tmp_path, debian=DEB822)
    (folder / "sources.list.d" / "a-vendor.list").write_text(f"deb {theirs}\n")
    assert debian_source(folder)["URIs"] == "https://mirror.example.org/debian"


def test_debians_signed_by_a_key_of_ones_own_is_debians(tmp_path: Path) -> None:
    own = DEB822.replace("/usr/share/keyrings/debian-archive-keyring.gpg", "/etc/apt/own.gpg")
    assert debian_source(apt(tmp_path, debian=own))["URIs"] == "https://mirror.example.org/debian"


REMOTE = "https://artifactory.example.org/artifactory/debian-remote"
OWN_KEY = "/usr/share/keyrings/example-org.gpg"


@pytest.mark.parametrize("beside", ["", "https://x.example.com/repos", "https://x.example.com/a"])
def test_a_mirror_of_another_name_is_taken_where_there_is_no_better_one(
    tmp_path: Path, beside: str
) -> None:
    """Mirrors inside companies are called as their program has it, and sign by their own key."""
    vendors = f"deb [signed-by={OWN_KEY}] {beside} stable main\n" if beside else ""
    text = f"{vendors}deb [signed-by={OWN_KEY}] {REMOTE} bookworm main\n"
    assert debian_source(apt(tmp_path, sources_list=text)) == {
        "Types": "deb",
        "URIs": REMOTE,
        "Suites": "bookworm",
        "Components": "main",
        "Signed-By": OWN_KEY,
    }
    (tmp_path / "sources.list").write_text(text + ONE_LINE)
    assert debian_source(tmp_path)["URIs"] == "https://mirror.example.org/debian/"


@pytest.mark.parametrize("first", ["sources", "vendor"])
def test_a_vendors_that_is_called_like_debians_does_not_come_before_a_mirror_without_a_key(
    tmp_path: Path, first: str
) -> None:
    """Who is not Debian has a key of his own; the name says nothing of a company's mirror."""
    mirror = "http://artifactory.example.org/apt-remote"
    theirs = f"deb [signed-by={OWN_KEY}] https://repo.example.com/debian bookworm main\n"
    texts = [f"deb {mirror} bookworm main\n", theirs]
    folder = apt(tmp_path)
    places = [folder / "sources.list", folder / "sources.list.d" / "other.list"]
    for place, text in zip(places, texts if first == "sources" else texts[::-1], strict=True):
        place.write_text(text)
    source = debian_source(folder)
    assert source["URIs"] == mirror
    assert "Signed-By" not in source

    # Alone, it may be Debian's, by a key of one's own.
    for place in places:
        place.write_text(place.read_text().replace(texts[0], ""))
    assert debian_source(folder)["URIs"] == "https://repo.example.com/debian"


def test_sources_of_source_code_are_none(tmp_path: Path) -> None:
    """They may come first."""
    code = DEB822.replace("Types: deb", "Types: deb-src").replace("mirror", "code")
    folder = apt(tmp_path, code=code)
    with pytest.raises(StepError, match="no source of Debian's main archive"):
        debian_source(folder)
    both = DEB822.replace("Types: deb", "Types: deb-src deb")
    (folder / "sources.list.d/debian.sources").write_text(both)
    source = debian_source(folder)
    assert (source["Types"], source["URIs"]) == ("deb", "https://mirror.example.org/debian")


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("style", ["debian", "sources_list"])
def test_a_mirror_without_signatures_is_trusted_as_the_machine_trusts_it(
    tmp_path: Path, style: str, *, trusted: bool
) -> None:
    line, field = (" trusted=yes", "Trusted: yes\n") if trusted else ("", "")
    texts = {
        "sources_list": f"deb [arch=amd64{line}] https://m.example.org/debian bookworm main\n",
        "debian": "Types: deb\nURIs: https://m.example.org/debian\nSuites: bookworm\n"
        f"Components: main\n{field}",
    }
    source = debian_source(apt(tmp_path, **{style: texts[style]}))
    assert source.get("Trusted") == ("yes" if trusted else None)
    # debootstrap looks at signatures by itself.
    assert ("--no-check-gpg" in image._debootstrap_options(source, ("sudo",))) == trusted


def test_a_key_of_ones_own_is_debootstraps_too() -> None:
    """It knows Debian's itself."""
    for key, named in ((OWN_KEY, True), ("/usr/share/keyrings/debian-archive-keyring.gpg", False)):
        options = image._debootstrap_options({"Signed-By": key}, ("sudo",))
        assert (f"--keyring={key}" in options) == named


def test_a_vendors_alone_is_none(tmp_path: Path) -> None:
    theirs = "deb [signed-by=/usr/share/keyrings/x.gpg] https://x.example.com/repos stable main\n"
    with pytest.raises(StepError, match="no source of Debian's main archive"):
        debian_source(apt(tmp_path, sources_list=theirs))


def test_a_list_of_mirrors_is_read_as_on_debians_cloud_images(tmp_path: Path) -> None:
    mirrors = tmp_path / "mirrors" / "debian.list"
    mirrors.parent.mkdir()
    mirrors.write_text("# by priority\n\nhttps://mirror.example.org/debian priority:1\n")
    assert first_mirror(f"mirror+file:{mirrors}") == "https://mirror.example.org/debian"
    mirrors.write_text("# none\n")
    with pytest.raises(StepError, match=r"no mirror of Debian stands in .*debian\.list"):
        first_mirror(f"mirror+file:{mirrors}")
    assert first_mirror("http://a.example.org/debian http://b") == ("http://a.example.org/debian")


@pytest.mark.parametrize(
    "text", ["", DISABLED, "deb https://x.example.org/debian bookworm contrib"]
)
def test_without_a_source_the_message_says_where_one_is_missing(tmp_path: Path, text: str) -> None:
    name = "sources_list" if text.startswith("deb ") else "debian"
    with pytest.raises(StepError, match=r"no source of Debian's main archive .*sources\.list"):
        debian_source(apt(tmp_path, **{name: text}))
