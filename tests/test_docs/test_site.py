"""The site is built without a warning: no dead link, no page outside of the contents, no broken docstring."""

import pytest
from conftest import ROOT


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    build = pytest.importorskip('sphinx.cmd.build')
    pytest.importorskip('myst_nb')
    out = tmp_path_factory.mktemp('site')
    warnings = out / 'warnings.txt'
    ended = build.build_main(
        ['-q', '-W', '--keep-going', '-w', str(warnings), '-c', str(ROOT / 'docs'), '-d',
         str(out / 'doctrees'), str(ROOT),
         str(out / 'html')])
    return out / 'html', ended, warnings.read_text() if warnings.exists() else ''


@pytest.mark.slow
def test_it_is_built_without_warnings(site):
    _, ended, warnings = site
    assert (ended, warnings) == (0, '')


@pytest.mark.slow
def test_the_reference_is_made_from_the_docstrings(site):
    pages = site[0] / 'docs' / 'api'
    for page, name in (('connectors', 'ReviewConnector'), ('hooks', 'LevelPicturesHook'), ('apis', 'distill')):
        text = (pages / f'{page}.html').read_text()
        assert name in text and 'Parameters' in text
    assert 'id="mmreviewkd.models.connectors.ReviewConnector"' in (pages / 'connectors.html').read_text()
