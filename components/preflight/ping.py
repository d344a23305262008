"""What to tell about a server that cannot ask the VPS whether it answers, since it has no ping."""

from collections.abc import Iterator

from components.preflight.host_facts import HostFacts
from components.preflight.wanted import Wanted
from settings import Packages


def warn_of_no_ping(facts: HostFacts, wanted: Wanted) -> Iterator[str]:
    """That it has none and gets none, and what follows.

    To be put behind the host's name. Where other packages are to be installed, ping comes along.
    """
    comes = facts.missing and facts.apt and wanted.packages is Packages.INSTALL
    if wanted.asks and not facts.ping and not comes:
        name = "iputils-ping" if facts.apt else "mostly iputils"
        yield (
            "has no ping, by which it asks every ten seconds whether the VPS answers. Without it a"
            " tunnel whose way has changed heals in minutes only, and if the VPS has moved, not at"
            f" all. Install the package there ({name})."
        )
