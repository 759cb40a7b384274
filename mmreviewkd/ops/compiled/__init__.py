"""Functions in C++ for float32 on CPUs, which are compiled on the machine that runs them."""

from .library import call, compiled_functions, is_compiled

__all__ = ['call', 'compiled_functions', 'is_compiled']
