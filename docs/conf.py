"""Configuration of the documentation site: `make docs` builds it into build/docs."""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault('OMP_NUM_THREADS', '1')

project = 'mmreviewkd'
author = 'The mmreviewkd authors'
copyright = author
release = re.search(r"__version__ = '(.+)'", (ROOT / 'mmreviewkd' / 'version.py').read_text())[1]

extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx_copybutton']
root_doc = 'docs/index'
include_patterns = ['docs/**', 'README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'configs/*/README.md']
exclude_patterns = [
    '.*', '**/.*', 'build', 'data', 'mmreviewkd', 'requirements', 'tests', 'tools', 'work_dirs', 'configs/_base_',
    '**/__pycache__', '**/node_modules', '*.egg-info']

myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 4
nb_execution_mode = 'off'  # the notebook is executed by tools/run_notebook.py
# Snippets with an ellipsis are no valid Python.
suppress_warnings = ['misc.highlighting_failure']

autodoc_default_options = {'members': True, 'show-inheritance': True, 'member-order': 'bysource'}
autodoc_typehints = 'none'
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = 'sphinx_rtd_theme'
html_theme_options = {'navigation_depth': 3, 'collapse_navigation': False}
html_static_path = ['_static']
html_css_files = ['site.css']
html_show_copyright = False
html_title = f'mmreviewkd {release}'
