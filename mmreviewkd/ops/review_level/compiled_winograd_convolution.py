"""``conv2`` by the Winograd algorithm in compiled functions."""

import torch
from torch import Tensor

from mmreviewkd.ops.compiled.winograd import add_weight_gradient, winograd_convolution


class CompiledWinogradConvolution:
    """The convolution of :class:`.WinogradConvolution` by compiled functions, for float32 on CPUs.

    Args:
        kernels (tuple[Tensor]): The result of :meth:`kernels`.
        dtype (torch.dtype): Type of the maps, which is float32.
    """

    def __init__(self, kernels: tuple[Tensor, ...], dtype: torch.dtype) -> None:
        weight = kernels[0]
        self.weight = weight if weight.is_contiguous(memory_format=torch.channels_last) else weight.contiguous()
        self._gradient: Tensor | None = None

    @staticmethod
    def kernels(weight: Tensor, affine: Tensor) -> tuple[Tensor, ...]:
        """The weight ``[O, M, 3, 3]`` itself."""
        return (weight,)

    @property
    def gradients(self) -> tuple[Tensor, ...]:
        """Gradient of the weight, summed over the calls of :meth:`backward`."""
        return (torch.zeros_like(self.weight) if self._gradient is None else self._gradient,)

    def forward(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """``[n, h, w, M]`` to ``[n, h, w, O]``, written to ``out`` if it is given."""
        return winograd_convolution(rows, self.weight, out=out)

    def backward(self, grad: Tensor, rows: Tensor) -> Tensor:
        """Gradient of ``rows``, ``[n, h, w, M]``; that of the weight is added to ``gradients``."""
        self._gradient, = self.gradients
        add_weight_gradient(self._gradient, rows, grad)
        return winograd_convolution(grad, self.weight, adjoint=True)
