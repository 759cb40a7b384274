"""Compile the C++ functions for CPUs on the machine that runs them, and load them.

The functions are compiled once for each CPU, by the C++ compiler of the system (``CXX``, or ``c++``), in some seconds,
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
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.nn import Parameter

from mmreviewkd.utils.cpu import cpu_fields

SOURCES = [Path(__file__).with_name(name) for name in (
    'comparing.cpp', 'composing.cpp', 'mixing.cpp', 'products.cpp', 'winograd.cpp')]
HEADERS = [Path(__file__).with_name(name) for name in ('products.h', 'vectors.h')]
OPTIONS = ('-O3', '-march=native', '-std=c++17', '-fopenmp', '-fPIC', '-shared')
MOST_SECONDS = 120
# What a compiled library depends on: names of the CPU, and its instruction sets, on x86 and on Arm.
CPU = ('vendor_id', 'cpu family', 'model', 'flags', 'CPU implementer', 'CPU part', 'Features')
# The pointers, and after them the sizes, that each function takes; the last argument of all is the number of threads.
FUNCTIONS = dict(
    add_centered_product=(5, 2), attend=(7, 6), attend_adjoint=(14, 9), coarse_adjoint=(5, 6), combine=(9, 6),
    compare=(12, 7), fuse=(5, 7), moments_of_chunks=(2, 3), scatter=(3, 3), spread_products=(3, 6),
    spread_products_adjoint=(5, 6), transposed_product=(3, 4), weigh=(4, 2),
    winograd_convolution=(4, 9), winograd_convolution_by_groups=(4, 9), winograd_weight_gradient=(3, 11))


@functools.cache
def compiled_functions() -> ctypes.CDLL | None:
    """The compiled functions, for float32 on CPUs; None, with a line in the log, if they cannot be compiled."""
    try:
        library = ctypes.CDLL(str(_compile()))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:  # RuntimeError: no home directory
        print_log(
            'Review path and teacher are computed by tensor operations alone, which takes longer, as the C++ functions '
            f'were not compiled ({_reason(error)}). A C++ compiler is searched for as $CXX or c++.', 'current',
            logging.INFO)
        return None
    for name, (pointers, sizes) in FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes = [ctypes.c_void_p] * pointers + [ctypes.c_int64] * sizes + [ctypes.c_int]
        function.restype = None
    return library


def is_compiled(maps: Tensor) -> bool:
    """Whether the compiled functions compute these maps: float32 on a CPU, and no subclass such as fake tensors."""
    return (
        maps.device.type == 'cpu' and maps.dtype == torch.float32 and type(maps) in (Tensor, Parameter)
        and compiled_functions() is not None)


def call(name: str, maps: Sequence[Tensor | None], sizes: Sequence[int]) -> None:
    """Call a compiled function with the addresses of its maps, laid out as it expects, and their sizes."""
    addresses = (None if t is None else t.data_ptr() for t in maps)
    getattr(compiled_functions(), name)(*addresses, *sizes, torch.get_num_threads())


def _compile() -> Path:
    """Compile for this CPU, unless that is done, and return the path of the library."""
    compiler = os.environ.get('CXX') or 'c++'
    made_of = '\n'.join((*(path.read_text() for path in (*SOURCES, *HEADERS)), compiler, *OPTIONS, cpu_fields(*CPU)))
    folder = Path(os.environ.get('TORCH_EXTENSIONS_DIR') or Path.home() / '.cache' / 'torch_extensions') / 'mmreviewkd'
    library = folder / f'functions_{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.so'
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # Moved when it is complete, as other processes may compile the same, or this one be killed.
        with tempfile.TemporaryDirectory(dir=folder) as unfinished:
            output = Path(unfinished) / library.name
            subprocess.run(
                [*compiler.split(), *OPTIONS, '-o', str(output), *map(str, SOURCES)], check=True, capture_output=True,
                text=True, timeout=MOST_SECONDS)
            os.replace(output, library)
        print_log(f'The C++ functions were compiled: {library}', 'current', logging.INFO)
    return library


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f'{error.cmd[0]} took more than {MOST_SECONDS} seconds'
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.strip().splitlines()
        return lines[0] if lines else f'{error.cmd[0]} ended with exit status {error.returncode}'
    return str(error)
