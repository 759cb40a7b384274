"""Packaging: metadata is in setup.cfg; this adds the folder `.mim`, in which `mim` finds configs and tools."""

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent.resolve()
MIM = ['configs', 'tools', 'model-index.yml', 'dataset-index.yml']


class BuildWithMim(build_py):
    """Add configs, tools and the model index as `mmreviewkd/.mim`: links in an editable install, else copies."""

    def run(self) -> None:
        """Build the package, then its folder `.mim`."""
        super().run()
        editable = getattr(self, 'editable_mode', False)
        target = (ROOT if editable else Path(self.build_lib)) / 'mmreviewkd' / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in filter(lambda name: (ROOT / name).exists(), MIM):
            if editable:
                (target / name).symlink_to(ROOT / name)
            elif (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy(ROOT / name, target / name)


def requirements(name: str) -> list[str]:
    """Requirements of `requirements/{name}.txt`, one a line."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


setup(
    version=re.search(r"__version__ = '(.+)'", (ROOT / 'mmreviewkd' / 'version.py').read_text())[1],
    install_requires=requirements('runtime'),
    extras_require={
        'classification': requirements('classification'),
        'detection': requirements('detection'),
        'segmentation': requirements('segmentation'),
        # Full mmcv serves all; mmcv-lite beside it would overwrite its files.
        'all': [*requirements('detection'), *requirements('segmentation'), *(
            line for line in requirements('classification') if line.startswith('mmpretrain')), *requirements('tests')],
        'tests': requirements('tests'),
        'docs': requirements('docs'),
        'mim': requirements('mminstall'),
    },
    cmdclass={'build_py': BuildWithMim})
