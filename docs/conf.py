"""The site: Sphinx with MyST and numpydoc. docs/build.sh builds it."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

from image_extractor.version import __version__  # noqa: E402

project = "image_extractor"
author = copyright = "The image_extractor developers"
version = release = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "commands_that_run",
    "generated_tables",
]
exclude_patterns = ["_build", "tutorial_files"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

nitpicky = True
# what types are called where they are documented by others
nitpick_ignore_regex = [("py:.*", r".*")]
numpydoc_show_class_members = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc has them in words, with shapes and units

html_theme = "pydata_sphinx_theme"
html_title = "image_extractor"
html_show_sourcelink = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
linkcheck_timeout = 20
