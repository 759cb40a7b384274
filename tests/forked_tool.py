"""Python tools in processes that are forked from one in which the libraries are imported already, except this package.

Importing torch, mmengine and mmcv takes longer than most tools run.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

LIBRARIES = ['torch', 'torchvision', 'mmengine.runner', 'mmengine.visualization', 'mmcv', 'scipy.optimize']


def run_forked(command: list[str], cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess:
    """Run ``python *command`` and return what :func:`subprocess.run` would, with its output as text."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(LIBRARIES)
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.join(folder, name) for name in ('stdout', 'stderr')]
        process = context.Process(target=_run, args=(command, str(cwd), environment, files))
        process.start()
        process.join()
        texts = [Path(file).read_text() if os.path.exists(file) else '' for file in files]
    return subprocess.CompletedProcess(command, process.exitcode, *texts)


def _run(command: list[str], cwd: str, environment: dict[str, str], files: list[str]) -> None:
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.path[:0] = [path for path in environment.get('PYTHONPATH', '').split(os.pathsep) if path]
    torch.set_num_threads(1)
    program, *sys.argv = command
    if program == '-c':
        code, sys.argv[0] = sys.argv[0], '-c'
        exec(compile(code, '<string>', 'exec'), {'__name__': '__main__'})
    else:
        sys.argv.insert(0, program)
        sys.path.insert(0, str(Path(program).parent))
        runpy.run_path(program, run_name='__main__')
