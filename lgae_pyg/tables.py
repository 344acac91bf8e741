"""Plain tables that print themselves as CSV, as Markdown and on a terminal."""

import csv
import io
import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lgae_pyg.files import write_text

Value = str | int | float


@dataclass(frozen=True)
class Table:
    """A table with a name, a caption and columns of text or numbers.

    Args:
        name: stem of the files.
        caption: what is shown, of which data, in which units.
        columns: for each column its machine name (the header of the CSV file) and its printed heading.
        rows: the values, in the order of the columns.

    Raises:
        ValueError: if a row has not one value per column.
    """

    name: str
    caption: str
    columns: Mapping[str, str]
    rows: tuple[tuple[Value, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.name}: {len(row)} values for {len(self.columns)} columns")

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[Value]:
        """The values of one column, from the first row to the last.

        Raises:
            ValueError: if there is no such column.
        """
        if name not in self.columns:
            raise ValueError(f"table {self.name} has no column {name!r}; it has {', '.join(self.columns)}")
        place = list(self.columns).index(name)
        return [row[place] for row in self.rows]

    def records(self) -> list[dict[str, Value]]:
        """The rows as dictionaries from column name to value."""
        return [dict(zip(self.columns, row)) for row in self.rows]

    def compact(self) -> "Table":
        """The table to be read: each number and its error, the column ``NAME_error``, in one cell."""
        errors = {f"{name}_error" for name in self.columns}
        kept = [name for name in self.columns if name not in errors]
        rows = []
        for row in self.records():
            cells = (
                format_with_error(float(row[name]), float(row[f"{name}_error"]))
                if f"{name}_error" in row
                else row[name]
                for name in kept
            )
            rows.append(tuple(cells))
        return Table(self.name, self.caption, {name: self.columns[name] for name in kept}, tuple(rows))

    def to_csv(self) -> str:
        """The table as CSV; floating-point numbers are written so that they are read back exactly."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows:
            writer.writerow([repr(float(value)) if isinstance(value, float) else value for value in row])
        return buffer.getvalue()

    def to_markdown(self) -> str:
        """The table as Markdown, numbers rounded to three digits, the caption below."""
        header, cells = list(self.columns.values()), self._cells()
        escaped = [[cell.replace("|", "\\|") for cell in line] for line in [header, *cells]]
        rule = ["---:" if number else "---" for number in self._numeric()]
        lines = [escaped[0], rule, *escaped[1:]]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{self.caption}\n"

    def to_text(self, width: int = 110) -> str:
        """The table for a terminal: aligned columns, headings on two lines, the caption wrapped below."""
        lines = [*zip(*map(_two_lines, self.columns.values())), *self._cells()]
        widths = [max(map(len, column)) for column in zip(*lines)]
        numeric = self._numeric()
        printed = [
            "  ".join(
                cell.rjust(size) if number else cell.ljust(size)
                for cell, size, number in zip(line, widths, numeric)
            ).rstrip()
            for line in lines
        ]
        printed.insert(2, "-" * max(map(len, printed)))
        return "\n".join([*printed, "", textwrap.fill(self.caption, width)])

    def save(self, folder: str | Path) -> None:
        """Writes ``NAME.csv`` and ``NAME.md`` into the folder."""
        for suffix, text in (("csv", self.to_csv()), ("md", self.to_markdown())):
            write_text(Path(folder) / f"{self.name}.{suffix}", text)

    def _cells(self) -> list[list[str]]:
        return [[format_value(value) for value in row] for row in self.rows]

    def _numeric(self) -> list[bool]:
        columns = range(len(self.columns))
        return [all(not isinstance(row[place], str) for row in self.rows) for place in columns]


def _two_lines(heading: str) -> tuple[str, str]:
    """A heading and its last word, with which a percent sign stays."""
    end = " %" if heading.endswith(" %") else ""
    first, _, last = heading.removesuffix(end).rpartition(" ")
    return first, last + end


def with_errors(columns: Mapping[str, str]) -> dict[str, str]:
    """The columns, each followed by one for its error, ``NAME_error`` with the heading ``± HEADING``."""
    pairs = (((name, head), (f"{name}_error", f"± {head}")) for name, head in columns.items())
    return dict(entry for pair in pairs for entry in pair)


def read_csv(text: str) -> tuple[list[str], list[tuple[Value, ...]]]:
    """Column names and rows of a CSV text written by :meth:`Table.to_csv`; numbers become numbers again."""
    names, *rows = csv.reader(io.StringIO(text))
    return names, [tuple(map(_parse, row)) for row in rows]


def format_value(value: Value) -> str:
    """A value as it is printed: integers and text as they are, other numbers to three digits.

    Numbers below 0.001 have an exponent; a zero is printed as 0.
    """
    if not isinstance(value, float):
        return str(value)
    if value == 0:
        return "0"
    return f"{value:.2e}" if abs(value) < 1e-3 else _three_digits(value)


def format_with_error(value: float, error: float) -> str:
    """A number with its error, both to the second digit of the error: ``0.853 ± 0.012``, and where both are below
    0.0001 ``(1.090 ± 0.046)e-07``.

    Without an error that is known and not zero, the number alone.
    """
    if not math.isfinite(value) or not math.isfinite(error) or error <= 1e-12 * abs(value):
        return format_value(float(value))
    size = max(abs(value), error)
    power = math.floor(math.log10(size)) if size < 1e-4 else 0
    value, error = value / 10.0**power, error / 10.0**power
    digits = max(0, 1 - math.floor(math.log10(error)))
    text = f"{value:.{digits}f} ± {error:.{digits}f}"
    return f"({text})e{power:03d}" if power else text


def format_with_range(middle: float, low: float, high: float) -> str:
    """A number between the smallest and the largest of its kind: ``0.9697 (0.9685–0.9704)``.

    All to the second digit of their distance, but with four digits at most; the number alone where the three are
    equal, and three digits of each where one is not finite, the largest is below 0.001, or the smallest would
    become zero.
    """
    spread, size = high - low, max(abs(low), abs(high))
    if math.isnan(middle) or (size < math.inf and spread <= 1e-12 * size):
        return format_value(float(middle))
    digits, few = 0, not math.isfinite(spread) or size < 1e-3
    if not few:
        digits = max(0, min(1 - math.floor(math.log10(spread)), 3 - math.floor(math.log10(size))))
        few = low * high > 0 and not round(min(abs(low), abs(high)), digits)
    if few:
        return f"{format_value(float(middle))} ({format_value(float(low))}–{format_value(float(high))})"
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def _three_digits(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}" if abs(value) < 1e6 else f"{value:.2e}"
    return f"{value:#.3g}".rstrip(".")


def _parse(cell: str) -> Value:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell
