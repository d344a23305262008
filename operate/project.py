"""The project whose stacks the commands are about: what its Pulumi.yaml says."""

from dataclasses import dataclass
from pathlib import Path

from operate.failure import CommandError
from operate.stack_file import read_file


@dataclass(frozen=True)
class Project:
    """The project that `pulumi` takes in the current folder.

    Attributes:
        name: of the project, before each key of its own in a stack file.
        stacks: the folder of its stack files.
        suffix: how the names of these end: as that of its own file.
        configures: whether it has configuration itself, which goes for all its stacks.
    """

    name: str
    stacks: Path
    suffix: str
    configures: bool

    @classmethod
    def here(cls) -> "Project":
        """Find and read it.

        Raises:
            CommandError: there is none here, or its file can't be read.
        """
        file = _file()
        content = read_file(file)
        name = content.get("name") if isinstance(content, dict) else None
        if not isinstance(name, str):
            raise CommandError(f"{file} can't be read: it has no `name`, as a project's has")
        stacks = file.parent / str(content.get("stackConfigDir", "."))
        return cls(name, stacks, file.suffix, configures="config" in content)


def _file() -> Path:
    """The nearest Pulumi.yaml, from here upwards, as `pulumi` itself looks for it."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        for file in (folder / "Pulumi.yaml", folder / "Pulumi.yml"):
            if file.is_file():
                return file
    raise CommandError(
        f"there is no Pulumi.yaml in {here} or above: run this in the project's folder"
    )
