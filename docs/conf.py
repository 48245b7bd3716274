"""The settings of the site; ``make docs`` builds it.

What pages there are besides those that lie here is written by the modules of `generators` before Sphinx looks
for pages: the API by its modules, the gallery, the ledger and the audit. Nothing is fetched from outside.
"""

import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from generators.docstrings import data_directive  # noqa: E402
from generators.public_names import foreign_bases  # noqa: E402

from curse_of_memory import __version__  # noqa: E402

# of docstrings that are sympy's
warnings.filterwarnings("ignore", "Unknown section", module="numpydoc")

project = "curse_of_memory"
author = "The curse_of_memory developers"
copyright = author
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "generators.blocks",
    "generators.docstrings",  # and numpydoc
    "generators.formulas",
    "generators.links",
    "generators.mentions",
    "generators.numbers",
    "generators.pages",
    "generators.pictures",
    "generators.references",
    "generators.types",
]
exclude_patterns = ["_build", "_templates", "generators"]
templates_path = ["_templates"]
# a name in single quotes is a link where it names something, and code where not
default_role = "py:obj"

# API: one page a name, from its docstring
autosummary_generate = True
autosummary_context = {"foreign_bases": foreign_bases, "data_directive": data_directive}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
numpydoc_show_class_members = False
numpydoc_citation_re = "(?!)"  # references are cited by their key in references.bib
toc_object_entries = False

# Markdown, and notebooks as they were committed
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]  # functions in the context of templates are no settings

bibtex_bibfiles = ["../curse_of_memory/report/references.bib"]
bibtex_default_style = "as_cited"
bibtex_reference_style = "label"

copybutton_selector = "div:not(.formula) > div.highlight > pre"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "curse_of_memory"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_search_scorer = str(HERE / "search_scores.js")
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "curse_of_memory"},
    "navigation_with_keys": False,
    "collapse_navigation": True,  # a page has the names of its own section alone
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "changelog": [], "references": []}
