"""Fixtures shared by all tests."""

from pathlib import Path

import numpy as np
import pytest
import torch

DATA = Path(__file__).parent / 'data'
REVIEW_CASES = ['same_sizes', 'teacher_larger', 'odd_ratio', 'pyramid_not_square']


class ReferenceCase:
    """Numbers computed once by a plain implementation that matched the authors' code."""

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.arrays = np.load(DATA / 'reference' / f'{name}.npz')
        self.dtype = dtype

    def tensor(self, key: str) -> torch.Tensor:
        value = torch.from_numpy(self.arrays[key])
        return value.to(self.dtype) if value.is_floating_point() else value

    def group(self, prefix: str) -> dict[str, torch.Tensor]:
        """All tensors whose key is ``prefix.<name>``, by name."""
        return {key[len(prefix) + 1:]: self.tensor(key) for key in self.arrays if key.startswith(prefix + '.')}

    def levels(self, prefix: str) -> list[torch.Tensor]:
        """All tensors ``prefix.0, prefix.1, ...``, in order."""
        group = self.group(prefix)
        return [group[str(i)] for i in range(len(group))]


@pytest.fixture(params=REVIEW_CASES)
def review_case_name(request) -> str:
    return request.param
