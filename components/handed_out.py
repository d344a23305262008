"""Files that were handed out: whoever has one is told of before it becomes worthless."""

from collections.abc import Collection, Mapping

import pulumi

_HEAD = "New keys: `pulumi up` cuts off who has a file of before, until the new one is there:"


def warn_of_new_files(
    clients: Mapping[str, pulumi.Output[str]],
    servers: Mapping[str, pulumi.Output[str]],
    *,
    known: Collection[str],
) -> None:
    """In a preview, names the machines whose file holds keys that this `up` is about to make.

    Args:
        clients: the files of client devices, by name.
        servers: those of servers that nobody logs in to.
        known: the peers that the VPS knows by now. Others have not had a file yet.
    """
    if not pulumi.runtime.is_dry_run():
        return
    # What is about to be made is not known yet.
    are_new = {
        name: file.apply(lambda text: not isinstance(text, str), run_with_unknowns=True)
        for name, file in {**clients, **servers}.items()
        if name in known
    }

    def tell(found: Mapping[str, bool]) -> None:
        if names := [name for name, is_new in found.items() if is_new]:
            lines = [_line(name, is_server=name in servers) for name in names]
            pulumi.log.warn("\n".join([_HEAD, *lines]))

    if are_new:
        pulumi.Output.unsecret(pulumi.Output.all(**are_new)).apply(tell)


def _line(name: str, *, is_server: bool) -> str:
    if not is_server:
        return f"  {name}: `reverse-tunnel client {name}`"
    return (
        f"  {name}: `reverse-tunnel server {name}`, by another way than the tunnel, which leads"
        " there no more by then"
    )
