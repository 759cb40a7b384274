"""``conv2`` by the Winograd algorithm in compiled functions."""

import torch
from torch import Tensor

from mmreviewkd.ops.compiled.winograd import WeightGradient, winograd_convolution, winograd_kernels


class CompiledWinogradConvolution:
    """The convolution of :class:`.WinogradConvolution` by compiled functions, for float32 on CPUs.

    Args:
        kernels (tuple[Tensor]): The result of :meth:`kernels`.
        dtype (torch.dtype): Type of the maps, which is float32.
    """

    def __init__(self, kernels: tuple[Tensor, ...], dtype: torch.dtype) -> None:
        self.weight = kernels[0]
        self._kernels: dict[bool, Tensor] = {}
        self._gradient = WeightGradient(self.weight)

    @staticmethod
    def kernels(weight: Tensor, affine: Tensor) -> tuple[Tensor, ...]:
        """The weight ``[O, M, 3, 3]`` itself."""
        return (weight,)

    @property
    def gradients(self) -> tuple[Tensor, ...]:
        """Gradient of the weight, summed over the calls of :meth:`backward`."""
        return (self._gradient.total(),)

    def forward(self, rows: Tensor) -> Tensor:
        """``[n, h, w, M]`` to ``[n, h, w, O]``."""
        return winograd_convolution(rows, self._transformed(adjoint=False), self.weight.shape[0])

    def backward(self, grad: Tensor, rows: Tensor) -> Tensor:
        """Gradient of ``rows``, ``[n, h, w, M]``; that of the weight is added to ``gradients``.

        The adjoint of a 3x3 convolution with padding 1 is one, too, with the taps in reverse.
        """
        self._gradient.add(rows, grad)
        return winograd_convolution(grad, self._transformed(adjoint=True), self.weight.shape[1])

    def _transformed(self, adjoint: bool) -> Tensor:
        if adjoint not in self._kernels:
            self._kernels[adjoint] = winograd_kernels(self.weight, adjoint)
        return self._kernels[adjoint]
