"""The documentation: `make docs` builds it, and warnings are errors."""

import json
from pathlib import Path

from lgae_pyg.version import __version__

project, author, release = "lgae_pyg", "the lgae_pyg authors", __version__
copyright = author
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown"}
html_theme, html_title = "furo", f"lgae_pyg {release}"
html_static_path, html_css_files = ["_static"], ["site.css"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # what PyTorch and PyG say of forward, message, ...
autodoc_typehints = "none"
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True
napoleon_custom_sections = ["Shapes"]
exclude_patterns = ["_build"]


def write_tutorials(app) -> None:
    """Turns each notebook of ``tutorials/`` into a page beside it (which git ignores): words as they are, code as
    blocks, below them the figures that ``draw_tutorials.py`` keeps. The tests run the cells."""
    folder = Path(app.srcdir, "tutorials")
    for notebook in sorted(folder.glob("*.ipynb")):
        parts = [f"*Download: {{download}}`{notebook.name}`, and its jets, {{download}}`jets.npz`.*"]
        for number, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"]):
            text = "".join(cell["source"])
            is_code = cell["cell_type"] == "code"
            parts.append(f"```python\n{text}\n```" if is_code else text.replace(".ipynb)", ".md)"))
            drawn = sorted(folder.glob(f"figures/{notebook.stem}_{number}_*.png"))
            options = ":alt: what the cell draws\n:width: 28em"  # drawn for screens of twice the resolution
            parts += [f"```{{image}} figures/{path.name}\n{options}\n```" for path in drawn]
        parts[:2] = [parts[1], parts[0]]  # the title comes first
        page, text = notebook.with_suffix(".md"), "\n\n".join(parts) + "\n"
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def setup(app) -> None:
    app.connect("builder-inited", write_tutorials)
