"""What the state holds, which the engine writes whole at every step."""

from tests.lab.deployment import Deployment


def test_where_in_the_program_a_resource_was_made_is_not_in_the_state(example: Deployment) -> None:
    """Each frame of a stack trace has the path of a file on the operator's machine."""
    resources = example.export()["deployment"]["resources"]
    ours = [each for each in resources if "reverse-tunnel:index:ReverseTunnel" in each["urn"]]
    assert {"laptop", "http", "vps-claim"} <= {each["urn"].rpartition("::")[2] for each in ours}
    assert [each["urn"] for each in ours if each.keys() & {"stackTrace", "sourcePosition"}] == []


def test_the_state_is_files_that_are_written_in_one_step(example: Deployment) -> None:
    """The backend's notes beside them are not, and without them whole no state can be read."""
    written = [path.name for path in (example.lab.state / "pulumi").rglob("*.*") if path.is_file()]
    assert f"{example.stack}.json" in written
    assert [name for name in written if name.endswith(".attrs")] == []
