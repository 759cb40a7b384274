"""Compile ``tile_transforms.cpp`` on the machine that runs it, and load it.

The functions are compiled once for each CPU, by the C++ compiler of the system (``CXX``, or ``c++``), in two seconds,
and kept where PyTorch keeps what it compiles (``TORCH_EXTENSIONS_DIR``, or ``~/.cache/torch_extensions``). Where that
fails, tensor operations compute the same.
"""

import ctypes
import functools
import hashlib
import logging
import os
import subprocess
import tempfile
from pathlib import Path

from mmengine.logging import print_log

from .cpu import cpu_features

SOURCE = Path(__file__).with_name('tile_transforms.cpp')
OPTIONS = ('-O3', '-march=native', '-std=c++17', '-fopenmp', '-fPIC', '-shared')
MOST_SECONDS = 120
FUNCTIONS = ('input_tiles', 'input_tiles_adjoint', 'output_tiles', 'output_tiles_adjoint')


@functools.cache
def compiled_transforms() -> ctypes.CDLL | None:
    """The compiled functions of ``tile_transforms.cpp``; None, with a line in the log, if they cannot be compiled."""
    try:
        library = ctypes.CDLL(str(_compile()))
    except (OSError, subprocess.SubprocessError) as error:
        print_log(
            'The Winograd convolutions of the review path are computed by tensor operations, which takes longer: '
            f'{SOURCE.name} was not compiled ({_reason(error)}). A C++ compiler is searched for as $CXX or c++.',
            'current', logging.INFO)
        return None
    for name in FUNCTIONS:
        function = getattr(library, name)
        function.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 7 + [ctypes.c_int]
        function.restype = None
    return library


def _compile() -> Path:
    """Compile for this CPU, unless that is done, and return the path of the library."""
    compiler = os.environ.get('CXX') or 'c++'
    made_of = '\n'.join((SOURCE.read_text(), compiler, *OPTIONS, cpu_features()))
    folder = Path(os.environ.get('TORCH_EXTENSIONS_DIR') or Path.home() / '.cache' / 'torch_extensions') / 'mmreviewkd'
    library = folder / f'{SOURCE.stem}_{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.so'
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # Moved when it is complete, as other processes may compile the same, or this one be killed.
        with tempfile.TemporaryDirectory(dir=folder) as unfinished:
            output = Path(unfinished) / library.name
            subprocess.run(
                [*compiler.split(), *OPTIONS, '-o', str(output), str(SOURCE)], check=True, capture_output=True,
                text=True, timeout=MOST_SECONDS)
            os.replace(output, library)
    return library


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError) and error.stderr:
        return error.stderr.strip().splitlines()[0]
    return str(error)
