"""Pieces of a self-contained HTML page: the document with its style, tables, figures."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from lgae_pyg.evaluation.png import write_few_colours
from lgae_pyg.evaluation.report.style import STYLE
from lgae_pyg.tables import Table, Value, format_value

#: Largest width of a figure in pixels, and its width on the page per pixel of the file.
WIDTH, SCALE = 1200, 0.8


def document(title: str, parts: Sequence[str]) -> str:
    """A page of parts, which are HTML already."""
    head = (
        "<meta charset='utf-8'><meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    body = f"<body><main>{''.join(parts)}</main></body>"
    return f"<!DOCTYPE html>\n<html lang='en'><head>{head}</head>{body}</html>\n"


def _is_number(value: Value) -> bool:
    """Whether a cell is a number, or a bound on one."""
    return not isinstance(value, str) or value.startswith("<0.")


def table_html(table: Table, title: str, suffix: str = "") -> str:
    """A table with its title above and its caption below.

    Args:
        table: the table.
        title: what stands above.
        suffix: of its anchor, ``table-NAME``, where tables of one name stand several times.
    """
    numeric = [all(_is_number(row[place]) for row in table.rows) for place in range(len(table.columns))]
    kinds = ["number" if number else "text" for number in numeric]
    head = "".join(f"<th scope='col' class='{k}'>{escape(t)}</th>" for k, t in zip(kinds, table.columns.values()))
    rows = []
    for row in table.rows:
        cells = [escape(format_value(value)) for value in row]
        rest = "".join(f"<td class='{kind}'>{cell}</td>" for kind, cell in zip(kinds[1:], cells[1:]))
        rows.append(f"<tr><th scope='row' class='{kinds[0]}'>{cells[0]}</th>{rest}</tr>")
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return (
        f"<h3 id='table-{escape(table.name)}{suffix}'>{escape(title)}</h3>"
        f"<div class='wide'><table>{body}</table></div>"
        f"<p class='caption'>{escape(table.caption)}</p>"
    )


def figure_html(path: Path, description: str) -> str:
    """A figure from a PNG file, in few colours and bytes."""
    from PIL import Image

    # Hamming's filter does not ring beside lines as Lanczos' does, which takes a fifth more bytes
    with Image.open(path) as image:
        shown = round(SCALE * image.width)
        small = image.convert("RGB")
        if small.width > WIDTH:
            small = small.resize((WIDTH, round(small.height * WIDTH / small.width)), Image.Resampling.HAMMING)
        buffer = io.BytesIO()
        write_few_colours(small, buffer)
    return image_html(buffer.getvalue(), description, shown)


def image_html(data: bytes, description: str, width: int | None = None) -> str:
    """A PNG within the page."""
    encoded = base64.b64encode(data).decode("ascii")
    size = f" width='{width}'" if width else ""
    alt = escape(description, quote=True)
    return f"<figure><img alt='{alt}'{size} src='data:image/png;base64,{encoded}'></figure>"
