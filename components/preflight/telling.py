"""What the look at the hosts has found, told: a line, a warning, or the error that ends the run."""

from collections.abc import Collection, Mapping, Sequence

import pulumi

from components.preflight.known import Known
from components.preflight.lookup import Closed
from components.preflight.problem import HostProblem, Warns
from components.preflight.unexplained import Entries
from reach import late_fields
from reach.entries.drift import ANOTHER_VERSION, Drift
from settings import SSH_PRIVATE_KEY_FIELD, Settings


class LookUpError(pulumi.RunError):
    """Hosts can't become part of the tunnel; the text lists every one, and what to do."""

    def __init__(self, problems: list[HostProblem]) -> None:
        super().__init__(_listed("The hosts are not ready, and nothing was changed:", problems))


def tell_problems(found: Sequence[HostProblem]) -> None:
    """Warns, or ends the run.

    Raises:
        LookUpError: a host can't become part of the tunnel.
    """
    for kind in Warns:
        _warn(kind.value, [each for each in found if each.warns is kind])
    problems = [problem for problem in found if problem.warns is None]
    if problems:
        in_preview = pulumi.runtime.is_dry_run()
        if not in_preview or not all(problem.unreachable for problem in problems):
            raise LookUpError(problems)
        _warn("Hosts that can't be asked now, without which `pulumi up` won't begin:", problems)


def tell_unknown(settings: Settings, unknown: Sequence[str]) -> None:
    """Says which hosts were not looked at, and what of their connections is not known yet."""
    # Each once, in their order.
    late = dict.fromkeys(field for name in unknown for field in late_fields(settings, name))
    key = SSH_PRIVATE_KEY_FIELD
    key_of_now = (
        f' A program may give it as a plain text, by `config.require("{key}")` in place of'
        " `require_secret`: it is kept secret all the same, and the hosts can be looked at."
    )
    pulumi.log.info(
        f"not looked at, the connection is not known yet: {', '.join(unknown)}."
        f" Known only later: {', '.join(late)}.{key_of_now if key in late else ''}"
    )


def tell_ways(known: Known, later: Collection[str]) -> None:
    """Says which hosts are not reached by their first way; those that come later are told."""
    for name, each in known.seen.items():
        if each.way and name not in later:
            pulumi.log.info(
                f"{name} is reached by {known.logins[name][each.way]}, since no way before that one"
                " leads there from here. Where the last `pulumi up` took another one, its commands"
                " run once more, which changes nothing there."
            )


def warn_of_gone(gone: Mapping[str, Closed]) -> None:
    """Says which machines that hosts were are left as they are."""
    if gone:
        head = "Machines that are taken for gone. What they have of the tunnel stays on them:"
        lines = [f"  {name} was {each.login}: {each.why}" for name, each in gone.items()]
        pulumi.log.warn("\n".join([head, *lines]))


def tell_other_helpers(drift: Drift) -> None:
    """Says where the helper is of another version, as at every upgrade, which is not drift."""
    if hosts := [host for (host, *_), words in drift.found.items() if words == ANOTHER_VERSION]:
        pulumi.log.info(
            "This checkout has another version of the helper than these hosts, and a full"
            f" `pulumi up` brings it: {', '.join(hosts)}. If a colleague's is the newer one: git"
            " pull, make setup."
        )


def warn_of_drift(drift: Drift, left: Entries) -> None:
    """Says what has drifted; `left` are the entries that no stack has."""
    strange = [
        f"{name}: {part.value} {entry}: no stack has it"
        for name, entries in left.items()
        for part, entry in entries
    ]
    if lines := [*drift.but(ANOTHER_VERSION).lines(), *strange]:
        # Not this run's: it may be one for some targets, or a refresh.
        head = "Hosts are not as the last `pulumi up` left them; a full one puts that right:"
        pulumi.log.warn("\n".join([head, *(f"  {line}" for line in lines)]))


def _warn(head: str, problems: Sequence[HostProblem]) -> None:
    if problems:
        pulumi.log.warn(_listed(head, problems))


def _listed(head: str, problems: Sequence[HostProblem]) -> str:
    return "\n".join([head, *(f"  {problem.text}" for problem in problems)])
