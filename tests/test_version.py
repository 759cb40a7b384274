"""The version has one source."""

import re
import subprocess
import sys

from conftest import ROOT

import mmreviewkd


def test_the_package_and_its_distribution_have_the_same_version():
    assert re.fullmatch(r'\d+\.\d+\.\d+', mmreviewkd.__version__)
    done = subprocess.run(
        [sys.executable, 'setup.py', '--version'], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == mmreviewkd.__version__


def test_the_changelog_starts_with_it():
    assert re.search(r'^## (\S+)', (ROOT / 'CHANGELOG.md').read_text(), re.MULTILINE)[1] == mmreviewkd.__version__
