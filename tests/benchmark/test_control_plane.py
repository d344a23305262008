"""Which goals are met, and what of the figures is the engine's own."""

from lab.benchmark import control_plane
from lab.benchmark.figures import Row

ROWS = [
    Row(name="10", cells={"create": (2.0,)}),
    Row(
        name="300",
        cells={
            "create": (20.0, 30.0, 26.0),
            "preview": (4.0,),
            "one more": (4.0,),
            "engine": (390.0,),
        },
    ),
]
ALONE = {
    300: {"create": (13.0,), "preview": (3.0,), "one more": (3.5,), "engine": (500.0,)},
}


def test_beside_a_goal_stands_what_the_engine_alone_takes() -> None:
    goals = control_plane.goals({int(row.name): row for row in ROWS}, ALONE)

    assert [(goal.text, goal.found, goal.met) for goal in goals] == [
        ("300 forwards, create: at most 25 s", "26.0 s; the engine alone 13.0 s", False),
        ("300 forwards, engine: at most 400 MB", "390.0 MB; the engine alone 500.0 MB", True),
        ("300 forwards, one more: at most 4 s", "4.0 s; the engine alone 3.5 s", True),
    ]


def test_a_goal_is_judged_where_nobody_has_measured_the_engine_alone() -> None:
    goals = control_plane.goals({int(row.name): row for row in ROWS}, {})

    assert [goal.found for goal in goals] == ["26.0 s", "390.0 MB", "4.0 s"]


def test_the_engine_alone_is_compared_at_the_sizes_at_which_it_is_known() -> None:
    table = control_plane.engine_alone(ROWS, ALONE)

    assert [row.name for row in table.rows] == ["300"]
    assert table.rows[0].samples("create") == (20.0, 30.0, 26.0)
    assert table.rows[0].samples("alone: create") == (13.0,)
