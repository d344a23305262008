"""What a user waits for, by the number of forwards, and what it costs; beside it, Ansible."""

from collections.abc import Mapping, Sequence

from lab.benchmark.ansible import Ansible
from lab.benchmark.figures import Cell, Column, Goal, Row, Samples, Section, Table, median
from lab.benchmark.machine import engine, machine, today
from lab.benchmark.spending import watched
from lab.benchmark.stack_run import BareRun, StackRun
from lab.lab import Lab
from lab.progress import say

_SIZES = (1, 10, 100, 300, 1000)
_BESIDE_ANSIBLE = (50, 200)
_SLOW = 200  # from here on each run of Ansible takes more than a minute: two are enough
_QUICK = (1, 10)
_BARE = (100, 300, 1000)
_RUNS = 3  # of everything that leaves things as they were, where that takes seconds
_LARGE = 300

Bare = Mapping[int, Mapping[str, Samples]]  # by size, what the engine alone takes

_COMPARED = {"create": "s", "preview": "s", "one more": "s", "engine": "MB"}
_WAITS = ("create", "create, no checkpoints", "preview", "one more", "one changed", "one less")


def measure(lab: Lab, *, quick: bool) -> Section:
    """Measure with the stack of the example, without its forwards, and more and more of them."""
    on, taken = machine(), today()
    stack = StackRun(lab)
    first = stack.time("up")
    rows = [
        _row(str(size), _at(stack, size, runs=1 if quick or size >= _LARGE else _RUNS))
        for size in (_QUICK if quick else _SIZES)
    ]
    stack.time("destroy")
    bare = {size: _bare(lab, size) for size in (_QUICK[1:] if quick else _BARE)}
    ansible = [
        _row(str(size), _beside_ansible(lab, stack, size))
        for size in (_QUICK if quick else _BESIDE_ANSIBLE)
    ]
    return Section(
        title="Control plane",
        taken=taken,
        machine=on,
        about=(
            f"With {engine()}; a file backend.",
            f"The first `up` of the example, packages installed: {first:.1f} s.",
        ),
        goals=(*goals({int(row.name): row for row in (*rows, *ansible)}, bare),),
        tables=(
            _waits(rows),
            _costs(rows),
            engine_alone(rows, bare),
            _less_to_do(rows),
            _ansible(ansible),
        ),
    )


def _at(stack: StackRun, size: int, runs: int) -> dict[str, Cell]:
    """Everything at one size, from no forwards to none."""
    say(f"{size} forwards")
    stack.configure(size)
    created = stack.watched_up()
    state = stack.state_size()
    cells: dict[str, Cell] = {
        "create": (created.seconds,),
        "engine": (created.megabytes,),
        "state": (state / 1e6,),
        "preview": tuple(stack.time("preview") for _ in range(runs)),
    }
    more, changed, less = [], [], []
    for _ in range(runs):
        stack.configure(size + 1)
        more.append(stack.time("up"))
        stack.configure(size + 1, target=8090)
        changed.append(stack.time("up"))
        stack.configure(size)
        less.append(stack.time("up"))
    cells |= {"one more": (*more,), "one changed": (*changed,), "one less": (*less,)}
    if size > _SIZES[0]:
        cells |= _eased(stack, size, runs)
    # From a destroyed stack, so that it is seen at this size, too.
    cells["destroy"] = (stack.time("destroy"),)
    stack.configure(0)
    stack.time("up")
    if _SIZES[0] < size < _SIZES[-1]:
        cells |= _eased_create(stack, size)
    stack.configure(size)
    # The VPS is asked the most when nothing else takes time, and the operator's machine is large.
    with watched(stack.lab.host("vps")) as vps:
        quickly = stack.watched_up("--parallel", "64", checkpoints=False)
    cells["create, no checkpoints"] = (quickly.seconds,)
    cells["engine, no checkpoints"] = (quickly.megabytes,)
    cells |= {"connections": (vps.connections,), "VPS": (vps.megabytes,)}
    stack.time("destroy")
    stack.configure(0)
    stack.time("up")
    return cells


def _eased(stack: StackRun, size: int, runs: int) -> dict[str, Cell]:
    """With less for the engine to do; leaves things as they were."""
    eased = stack.eased()
    previews, more = [], []
    for _ in range(runs):
        previews.append(eased.time("preview"))
        eased.configure(size + 1)
        more.append(eased.time("up"))
        eased.configure(size)
        eased.time("up")
    return {"eased: preview": (*previews,), "eased: one more": (*more,)}


def _eased_create(stack: StackRun, size: int) -> dict[str, Cell]:
    """The same of an `up` that makes them all; where there were none, and are none afterwards."""
    eased = stack.eased()
    eased.configure(size)
    created = eased.watched_up()
    eased.configure(0)
    eased.time("up")
    return {"eased: create": (created.seconds,), "eased: engine": (created.megabytes,)}


def _bare(lab: Lab, size: int) -> dict[str, Samples]:
    """What the engine takes for as many components and commands that do nothing."""
    say(f"{size} components and commands that do nothing")
    stack = BareRun(lab, f"bare-{size}")
    stack.configure(size)
    created = stack.watched_up()
    preview = stack.time("preview")
    stack.configure(size + 1)
    more = stack.time("up")
    stack.remove()
    return {
        "create": (created.seconds,),
        "engine": (created.megabytes,),
        "preview": (preview,),
        "one more": (more,),
    }


def _beside_ansible(lab: Lab, stack: StackRun, size: int) -> dict[str, Cell]:
    say(f"{size} forwards, beside Ansible")
    stack.configure(0)
    stack.time("up")
    stack.configure(size)
    cells: dict[str, Cell] = {"create": (stack.time("up"),), "nothing": (stack.time("preview"),)}
    stack.configure(size + 1)
    cells["one more"] = (stack.time("up"),)
    stack.time("destroy")
    with Ansible(lab) as ansible:
        cells["Ansible: create"] = (ansible.play(size),)
        if size < _SLOW:
            cells["Ansible: nothing"] = (ansible.play(size),)
        cells["Ansible: one more"] = (ansible.play(size + 1),)
        cells["floor"] = (ansible.restore(size),)
    return cells


def _row(name: str, cells: Mapping[str, Cell]) -> Row:
    return Row(name=name, cells={**cells})


def _only(rows: list[Row], columns: tuple[Column, ...]) -> tuple[Row, ...]:
    """The rows with the cells of these columns alone."""
    names = {column.name for column in columns}
    return tuple(
        Row(name=row.name, cells={name: cell for name, cell in row.cells.items() if name in names})
        for row in rows
    )


def _waits(rows: list[Row]) -> Table:
    columns = tuple(Column(name=name, unit="s", better="less") for name in (*_WAITS, "destroy"))
    return Table(
        title="What a user waits for",
        label="forwards",
        columns=columns,
        rows=_only(rows, columns),
        plot="lines",
        about="`create`: an `up` that makes so many where there were none; then the same with"
        " `PULUMI_EXPERIMENTAL=true PULUMI_SKIP_CHECKPOINTS=true`. `preview`: nothing to do."
        " The hosts are looked at in each of them.",
    )


def _costs(rows: list[Row]) -> Table:
    columns = (
        Column(name="engine", unit="MB", better="less"),
        Column(name="state", unit="MB", better="less"),
        Column(name="engine, no checkpoints", unit="MB", better="less"),
        Column(name="connections", better="less"),
        Column(name="VPS", unit="MB", better="less"),
    )
    return Table(
        title="What it costs",
        label="forwards",
        columns=columns,
        rows=_only(rows, columns),
        about="While they are made in one `up`: the resident memory of the engine's own process,"
        " and its state; then, without checkpoints and with `--parallel 64`, the engine's memory,"
        " the SSH connections to the VPS at one moment, and the memory of all processes there (PSS)"
        " above that at the start.",
    )


def engine_alone(rows: Sequence[Row], bare: Bare) -> Table:
    """What was measured at the sizes of which it is known what the engine alone takes."""
    beside = []
    for row in rows:
        if alone := bare.get(int(row.name)):
            ours: dict[str, Cell] = {name: row.samples(name) for name in _COMPARED}
            theirs = {f"alone: {name}": alone[name] for name in _COMPARED}
            beside.append(_row(row.name, ours | theirs))
    return Table(
        title="Beside the engine alone",
        label="forwards",
        columns=_side_by_side("alone: "),
        rows=(*beside,),
        about="`alone`: a program that is nothing but as many components with one command each,"
        " which logs in to the VPS and does nothing, run the same way: about the least time that a"
        " program takes which has these two for each forward.",
    )


def _less_to_do(rows: Sequence[Row]) -> Table:
    columns = _side_by_side("eased: ")
    return Table(
        title="With less for the engine to do",
        label="forwards",
        columns=columns,
        rows=_only([row for row in rows if row.samples("eased: preview")], columns),
        about="`eased`: the engine keeps no log of its own, and looks for garbage less often"
        " ([how](../operations.md#hundreds-of-forwards)). With checkpoints.",
    )


def _side_by_side(other: str) -> tuple[Column, ...]:
    """Ours, and beside each the other one's."""
    return tuple(
        Column(name=f"{who}{name}", unit=unit, better="less")
        for name, unit in _COMPARED.items()
        for who in ("", other)
    )


def _ansible(rows: list[Row]) -> Table:
    columns = tuple(
        Column(name=name, unit="s", better="less")
        for name in (
            *("create", "Ansible: create", "nothing", "Ansible: nothing"),
            *("one more", "Ansible: one more", "floor"),
        )
    )
    return Table(
        title="Beside Ansible",
        label="forwards",
        columns=columns,
        rows=_only(rows, columns),
        about=f"{Ansible.VERSION}, its iptables module in a loop, one rule for each forward,"
        " pipelining on. `nothing`: our preview, and its second run. `floor`: one SSH call with one"
        " `iptables-restore`.",
    )


def goals(rows: Mapping[int, Row], bare: Bare) -> list[Goal]:
    """The goals for the sizes that were measured; beside each, what the engine alone takes."""
    limits = (
        (100, "create", 8, "s"),
        (300, "create", 25, "s"),
        (300, "engine", 400, "MB"),
        (300, "engine, no checkpoints", 400, "MB"),
        (300, "one more", 4, "s"),
        (1000, "create", 100, "s"),
        (1000, "create, no checkpoints", 100, "s"),
        (1000, "one more", 6, "s"),
        (1000, "preview", 5, "s"),
        (1000, "connections", 20, "connections"),
        (1000, "VPS", 100, "MB"),
    )
    found = []
    for size, column, limit, unit in limits:
        if size in rows and (samples := rows[size].samples(column)):
            figure = median(samples)
            text = f"{size} forwards, {column}: at most {limit} {unit}"
            words = f"{figure:.1f} {unit}"
            if alone := bare.get(size, {}).get(column):
                words += f"; the engine alone {median(alone):.1f} {unit}"
            found.append(Goal(text=text, found=words, met=figure <= limit))
    if 200 in rows:  # noqa: PLR2004 - the size that the goal names
        ours, theirs = (rows[200].samples(name) for name in ("one more", "Ansible: one more"))
        ratio = median(theirs) / median(ours)
        found.append(
            Goal(
                text="one more at 200: ahead of Ansible by at least thirty times",
                found=f"{ratio:.0f} times",
                met=ratio >= 30,  # noqa: PLR2004
            )
        )
    return found
