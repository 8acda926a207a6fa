"""Sphinx: Markdown pages by MyST, the API by autodoc."""

import re

from sphinx.application import Sphinx

import modelkeep

project = "modelkeep"
version = release = modelkeep.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "tests"]
html_theme = "furo"
html_title = f"modelkeep {version}"
html_show_copyright = False
# a block without a language is a drawing
highlight_language = "none"
myst_heading_anchors = 3

autodoc_member_order = "bysource"
add_module_names = False
# the docstrings write `code` as Markdown does
default_role = "code"

nitpicky = True
# what belongs to Python and to other libraries is not looked up, which would need the network; nor are type variables
nitpick_ignore_regex = [("py:.*", r"(?!modelkeep).*"), ("py:class", r"modelkeep\.\w+\._[A-Z]\w*")]


def _mark_code(_app: Sphinx, what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Let the indented parts of the docstring of a module be code, as they are there without the `::` of docutils."""
    if what == "module":
        lines[:] = re.sub(r"^(?=\S)(.*)\n\n(?=    )", r"\1\n\n::\n\n", "\n".join(lines), flags=re.MULTILINE).split("\n")


def setup(app: Sphinx) -> None:
    """Register what is above."""
    app.connect("autodoc-process-docstring", _mark_code)
