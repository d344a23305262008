"""A table while it is filled, load by load."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import TimeoutExpired

from lab.benchmark.figures import Cell, Column, Row, Table
from lab.benchmark.visitor import LoadError
from lab.hosts.host import HostError
from lab.progress import say


@contextmanager
def spared(what: str) -> Iterator[None]:
    """A failure in this block is told, and ends no more than the block."""
    try:
        yield
    except (LoadError, HostError, TimeoutExpired) as error:
        say(f"benchmark: {what}: {error}")


class Sheet:
    """Collects what loads find, by row and column.

    A load that fails leaves no figure, and a line for whoever waits: the others are worth having.
    """

    def __init__(self, table: Table) -> None:
        """Begin with a table that has no rows yet."""
        self._table = table
        self._cells: dict[str, dict[str, Cell]] = {}

    @property
    def columns(self) -> tuple[Column, ...]:
        """What it has room for."""
        return self._table.columns

    def take(
        self, row: str, columns: tuple[Column, ...], load: Callable[[], tuple[float, ...]]
    ) -> None:
        """Do a load, which finds a figure for each of the columns."""
        with spared(f"{row}, {columns[0].name}"):
            for column, figure in zip(columns, load(), strict=True):
                self.add(row, column, figure)

    def add(self, row: str, column: Column, figure: float) -> None:
        """Keep a figure."""
        cells = self._cells.setdefault(row, {})
        before = cells.get(column.name, ())
        cells[column.name] = (*before, figure) if isinstance(before, tuple) else (figure,)

    def note(self, row: str, column: Column, words: str) -> None:
        """Keep a finding in words."""
        self._cells.setdefault(row, {})[column.name] = words

    def table(self) -> Table:
        """The table with all rows, in the order in which they came."""
        rows = tuple(Row(name=name, cells=cells) for name, cells in self._cells.items())
        reference = self._table.reference
        if reference not in self._cells:
            reference = None
        return Table(**{**dict(self._table), "rows": rows, "reference": reference})
