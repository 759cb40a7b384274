"""Whether ``torch.compile`` works on this machine, and whether it is tracing."""

import logging

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch._dynamo.exc import BackendCompilerFailed

from .errors import described

try:
    from torch.compiler import is_compiling as _is_compiling
except ImportError:  # torch 2.1
    from torch._dynamo.external_utils import is_compiling as _is_compiling


def is_compiling() -> bool:
    """Whether ``torch.compile`` is tracing, which optimizes modules, but not the fast functions of this package."""
    return _is_compiling()


def options_that_work(options: dict | None, device: torch.device, where: str) -> dict | None:
    """Return the options of ``torch.compile`` if it works with them; otherwise warn, as without a C++ compiler.

    A small function is compiled to find out.

    Args:
        options (dict, optional): Options of ``torch.compile``; None compiles nothing.
        device (torch.device): Where the compiled functions will run.
        where (str): The config key of the options, for the warning.

    Returns:
        dict or None: ``options``; None if nothing can be compiled with them.
    """
    if options is None:
        return None
    try:
        torch.compile(_small_function, **options)(torch.zeros(8, device=device))
    except BackendCompilerFailed as error:
        reason = getattr(error, 'inner_exception', error)
        print_log(f'{where}: torch.compile does not work here, so nothing is compiled ({described(reason)})', 'current',
                  logging.WARNING)
        return None
    return options


def _small_function(x: Tensor) -> Tensor:
    return torch.relu(x + 1).sum()
