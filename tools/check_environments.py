"""Create fresh environments like those of users, run the tests in each, and show a table of the results.

Each environment is a virtual environment of its own with nothing in it but the packages named here, what those need,
pytest, and this package. What an environment lacks, its tests skip. Needs nothing but Python itself.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
import venv
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_STACK = (ROOT / 'requirements' / 'stack.txt').read_text(encoding='utf-8')
PINNED = dict(line.split('==') for line in _STACK.splitlines() if '==' in line)
TORCH = [f'{name}=={PINNED[name]}' for name in ('torch', 'torchvision', 'numpy')]
MMCV = 'mmcv with ops'  # the wheel that tools/build_mmcv.sh builds once for each torch
ENVIRONMENTS = {
    'classification-torch2.1': [
        'torch==2.1.2', 'torchvision==0.16.2', 'numpy==1.26.4', f'mmcv-lite=={PINNED["mmcv"]}',
        f'mmengine=={PINNED["mmengine"]}', f'mmpretrain=={PINNED["mmpretrain"]}'],
    'mmdet-only': [*TORCH, MMCV, f'mmengine=={PINNED["mmengine"]}', f'mmdet=={PINNED["mmdet"]}'],
    'mmseg-only': [
        *TORCH, MMCV, *(f'{name}=={PINNED[name]}' for name in ('mmengine', 'mmsegmentation', 'ftfy', 'regex'))],
    'mmengine-only': [*TORCH, f'mmengine=={PINNED["mmengine"]}'],
    'pinned': [*(line if not line.startswith('mmcv') else MMCV for line in (
        f'{name}=={version}' for name, version in PINNED.items())), '-r', 'requirements/tests.txt'],
    'onedl': [
        *TORCH, MMCV, 'onedl-mmengine==0.10.12', 'onedl-mmpretrain==1.3.6', 'onedl-mmdetection==3.5.1',
        '-r', 'requirements/tests.txt'],
}
SHOWN = {
    'torch': ['torch'], 'NumPy': ['numpy'], 'mmengine': ['mmengine', 'onedl-mmengine'], 'mmcv': ['mmcv', 'mmcv-lite'],
    'mmpretrain': ['mmpretrain', 'onedl-mmpretrain'], 'mmdet': ['mmdet', 'onedl-mmdetection'],
    'mmseg': ['mmsegmentation']}


def run(*command: object, log: Path, **options: object) -> subprocess.CompletedProcess:
    with log.open('a', encoding='utf-8') as file:
        print('$', *command, file=file, flush=True)
        return subprocess.run(list(map(str, command)), cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, **options)


def install(folder: Path, packages: list[str], log: Path) -> Path:
    """Make the environment, unless it is there with the same packages, and give its Python."""
    python = folder / 'bin' / 'python'
    inputs = [*packages, *(path.read_text(encoding='utf-8') for path in sorted((ROOT / 'requirements').glob('*.txt')))]
    stamp = folder / f'.installed-{hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]}'
    if stamp.exists():
        return python
    venv.create(folder, with_pip=True, clear=True)
    pip = [python, '-m', 'pip', 'install', '--no-input']
    if MMCV in packages:
        run(*pip, *TORCH, log=log, check=True)
        wheel = subprocess.run(
            [ROOT / 'tools' / 'build_mmcv.sh', folder, log], check=True, capture_output=True, text=True).stdout.strip()
        packages = [wheel if package == MMCV else package for package in packages]
    run(*pip, *packages, '-r', 'requirements/runtime.txt', 'pytest', log=log, check=True)
    run(*pip, 'wheel', log=log, check=True)
    run(*pip, '--no-deps', '--no-build-isolation', '-e', '.', log=log, check=True)
    stamp.touch()
    return python


def versions(python: Path) -> list[str]:
    listed = json.loads(subprocess.run(
        [python, '-m', 'pip', 'list', '--format', 'json'], check=True, capture_output=True, text=True).stdout)
    found = {package['name'].lower().replace('_', '-'): package['version'] for package in listed}
    return [next((found[name] + ('' if name in (shown.lower(), 'torch') else f' ({name})')
                  for name in names if name in found), '–') for shown, names in SHOWN.items()]


def check(name: str, folder: Path, tests: list[str]) -> list[str]:
    """Install one environment, run the tests in it, and give its row of the table."""
    log = folder.parent / f'{name}.log'
    log.write_text('', encoding='utf-8')
    try:
        python = install(folder, ENVIRONMENTS[name], log)
    except subprocess.CalledProcessError as error:
        return [name, *['–'] * len(SHOWN), f'install failed ({log}): {error.stderr or ""}'.strip(), '–', '–', '–']
    started = time.monotonic()
    report = folder.parent / f'{name}.xml'
    report.unlink(missing_ok=True)
    run(python, '-m', 'pytest', *tests, f'--junitxml={report}', '--continue-on-collection-errors',
        '-p', 'no:cacheprovider', log=log,
        env={**os.environ, 'PATH': f'{python.parent}{os.pathsep}{os.environ["PATH"]}'})
    minutes = f'{(time.monotonic() - started) / 60:.1f}'
    if not report.exists():
        return [name, *versions(python), f'pytest did not end ({log})', '–', '–', minutes]
    suite = ElementTree.parse(report).getroot().find('testsuite')
    total, failures, errors, skipped = (int(suite.get(key)) for key in ('tests', 'failures', 'errors', 'skipped'))
    return [name, *versions(python), str(total - failures - errors - skipped), str(skipped), str(failures + errors),
            minutes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--dir', default='work_dirs/environments', type=Path, help='where the environments go')
    parser.add_argument('--only', nargs='+', choices=ENVIRONMENTS, default=list(ENVIRONMENTS), metavar='NAME',
                        help=f'of {", ".join(ENVIRONMENTS)}; all of them by default')
    parser.add_argument('--tests', nargs='+', default=['tests'], help="what pytest is given; '-m' and the like too")
    args, rest = parser.parse_known_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    header = ['environment', *SHOWN, 'passed', 'skipped', 'failed', 'minutes']
    print(f'| {" | ".join(header)} |\n|{"---|" * len(header)}', flush=True)
    failed = False
    for name in args.only:
        row = check(name, args.dir.resolve() / name, [*args.tests, *rest])
        failed |= row[-2] != '0'
        print(f'| {" | ".join(row)} |', flush=True)
    sys.exit(failed)


if __name__ == '__main__':
    main()
