"""Sphinx configuration: ``make docs``."""

from importlib.util import find_spec

import leo_wrappers

project = "LEO"
author = "The LEO maintainers"
copyright = author
release = version = leo_wrappers.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = f"LEO {release}"
html_static_path = ["_static"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#0072B2"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#56B4E9"},
}
exclude_patterns = ["_build"]

# Resolve [](#heading) links; tests/project checks links into the repository.
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
# Documented without the packages too.
autodoc_mock_imports = [name for name in ("ale_py", "minigrid", "xminigrid") if not find_spec(name)]
