"""``conv2`` computed by PyTorch's convolution."""

import torch
import torch.nn.functional as F
from torch import Tensor


class DirectConvolution:
    """3x3 or 1x1 convolution of rows, padded to keep their size, by its definition (Eq. 11).

    Args:
        kernels (tuple[Tensor]): The result of :meth:`kernels`.
        dtype (torch.dtype): Type of the maps.
    """

    def __init__(self, kernels: tuple[Tensor, ...], dtype: torch.dtype) -> None:
        self.weight = kernels[0].to(dtype).contiguous()
        self.padding = self.weight.shape[-1] // 2
        self.gradients = (torch.zeros_like(kernels[0]),)

    @staticmethod
    def kernels(weight: Tensor, affine: Tensor) -> tuple[Tensor, ...]:
        """The weight ``[O, M, 3, 3]`` or ``[O, M, 1, 1]`` itself."""
        return (weight,)

    def forward(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """``[n, h, w, M]`` to ``[n, h, w, O]``, written to ``out`` if it is given."""
        convolved = F.conv2d(rows.permute(0, 3, 1, 2), self.weight, padding=self.padding).permute(0, 2, 3, 1)
        return convolved if out is None else out.copy_(convolved)

    def backward(self, grad: Tensor, rows: Tensor) -> Tensor:
        """Gradient of ``rows``, ``[n, h, w, M]``; that of the weight is added to ``gradients``."""
        grad_rows, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad.permute(0, 3, 1, 2), rows.permute(0, 3, 1, 2), self.weight, [0], [1, 1], [self.padding] * 2,
            [1, 1], False, [0, 0], 1, [True, True, False])
        self.gradients[0].add_(grad_weight)
        return grad_rows.permute(0, 2, 3, 1).contiguous()
