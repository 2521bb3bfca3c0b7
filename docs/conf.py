"""Settings of Sphinx: sphinx-build -W --keep-going -b html docs docs/_build/html"""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS.parent / "scripts")]

import build_docs_pages  # noqa: E402

import rethink_tf  # noqa: E402

project = "rethink_tf"
author = "the rethink_tf contributors"
copyright = author
release = version = rethink_tf.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
]
exclude_patterns = ["_build", "images", "**/.ipynb_checkpoints"]
smartquotes = False  # -- is the beginning of a flag
# In docstrings a name between single backticks is code.
default_role = "code"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

napoleon_google_docstring = True
napoleon_numpy_docstring = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

# The examples are run at each build, each in an empty folder; an error in one ends the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

html_theme = "furo"
pygments_dark_style = "github-dark"  # furo's own underlines imported modules like links
html_title = "rethink_tf"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_copyright = False
html_show_sphinx = False
suppress_warnings = ["myst.header"]  # what is included begins at its own level


def separate_code(app, what, name, obj, options, lines):
    """Lets a word follow code at once, as in `Split`s."""
    lines[:] = [re.sub(r"(?<!`)(`[^`]+`)(?=\w)", r"\1\\ ", line) for line in lines]


def setup(app):
    """Writes the generated pages before Sphinx looks for pages."""
    build_docs_pages.write(DOCS)
    app.connect("autodoc-process-docstring", separate_code)
