"""How Sphinx builds the site: ``make docs``."""

import leo_wrappers

project = "LEO"
author = "The LEO maintainers"
copyright = author
release = version = leo_wrappers.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax"]
html_theme = "furo"
html_title = f"LEO {release}"
html_static_path: list[str] = []
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#0072B2"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#56B4E9"},
}
exclude_patterns = ["_build"]

# Dollars for equations, [](#heading) for headings; links into the repository are checked by tests/project.
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

# Equations are drawn by the reader's browser with MathML: no script from elsewhere, and the site reads well without a network.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
