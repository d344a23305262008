"""Figures that nobody has measured."""

from lab.benchmark.figures import Column, Figures, Goal, Row, Section, Table

SPEED = Table(
    title="Throughput",
    label="way",
    columns=(
        Column(name="down", unit="Mbit/s", better="more"),
        Column(name="first byte", unit="ms", better="less"),
        Column(name="address seen"),
    ),
    rows=(
        Row(
            name="bare tunnel",
            cells={"down": (2000.0, 1900.0, 2100.0), "first byte": (0.5,), "address seen": "yes"},
        ),
        Row(name="this project", cells={"down": (1940.0, 1960.0, 1950.0), "address seen": "yes"}),
        Row(name="other", cells={"down": (1000.0,), "first byte": (1.25,), "address seen": "no"}),
    ),
    reference="bare tunnel",
    plot="bars",
    about="Three runs.",
)
CURVE = Table(
    title="By number",
    label="forwards",
    columns=(Column(name="up", unit="s", better="less"),),
    rows=tuple(Row(name=f"{n:,}", cells={"up": (n / 10, n / 5)}) for n in (1, 100, 1000)),
    plot="lines",
)
SECTION = Section(
    title="Data path",
    taken="2026-11-28",
    machine="two cores",
    about=("A visitor, a VPS, a server.",),
    goals=(
        Goal(text="as fast as the tunnel", found="98 %", met=True),
        Goal(text="half the time", found="three quarters", met=False),
    ),
    tables=(SPEED, CURVE),
    missing={"another": "no registry has it"},
    findings=("A queue was too short.",),
)
FIGURES = Figures(sections={"data-path": SECTION})
