"""3x3 convolutions of a frozen network by the Winograd algorithm."""

import torch
from torch import Tensor, nn

from mmreviewkd.models.connectors.fast_level import is_plain_conv
from mmreviewkd.ops.compiled import is_compiled
from mmreviewkd.ops.compiled.winograd import winograd_convolution
from mmreviewkd.utils.autocast import autocast_dtype
from mmreviewkd.utils.compiling import is_compiling

_PADDINGS = ((1, 1), 'same')

# Chosen from measured times of forward passes: on fewer channels the transforms (and, in other formats than
# channels_last, the copies to rows of channels and back), for fewer tiles of 4x4 pixels the transformed kernels take as
# long as what the algorithm saves.
LEAST_CHANNELS, LEAST_CHANNELS_COPIED, LEAST_TILES = 16, 32, 24


class FrozenConv2d(nn.Conv2d):
    """3x3 convolution with constant weights, which computes large enough maps by the Winograd algorithm.

    It does so on CPUs in float32, where gradients are not needed and the C++ functions could be compiled, and
    otherwise what ``nn.Conv2d`` does. The results are equal up to rounding.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Convolve ``[N, C, H, W]`` to ``[N, O, H, W]``, in the memory format that ``nn.Conv2d`` returns."""
        if not self._pays(inputs):
            return super().forward(inputs)
        rows = winograd_convolution(inputs.permute(0, 2, 3, 1), self.weight, self.bias)
        output = rows.permute(0, 3, 1, 2)
        return output if self._is_channels_last(inputs) else output.contiguous()

    def _pays(self, inputs: Tensor) -> bool:
        if type(inputs) is not Tensor or torch.is_grad_enabled() or is_compiling() or torch.jit.is_tracing():
            return False
        if inputs.dim() != 4 or inputs.shape[1] != self.in_channels or autocast_dtype('cpu') is not None:
            return False
        least = LEAST_CHANNELS if self._is_channels_last(inputs) else LEAST_CHANNELS_COPIED
        if min(self.in_channels, self.out_channels) < least:
            return False
        n, _, h, w = inputs.shape
        return n * -(-h // 4) * -(-w // 4) >= LEAST_TILES and is_compiled(inputs) and is_compiled(self.weight)

    def _is_channels_last(self, inputs: Tensor) -> bool:
        """Whether ``nn.Conv2d`` computes in this format: if the inputs or the weight have it."""
        return any(t.is_contiguous(memory_format=torch.channels_last) for t in (inputs, self.weight))


def freeze_convolutions(model: nn.Module) -> nn.Module:
    """Let the 3x3 convolutions of a network that is not trained be computed by :class:`FrozenConv2d`.

    Args:
        model (nn.Module): The network. It is changed in place: hooks, and references to its modules, stay valid.

    Returns:
        nn.Module: ``model``.
    """
    for module in model.modules():
        if _applies(module):
            module.__class__ = FrozenConv2d
    return model


def _applies(module: nn.Module) -> bool:
    plain = any(is_plain_conv(module, (3, 3), padding) for padding in _PADDINGS)
    return plain and min(module.in_channels, module.out_channels) >= LEAST_CHANNELS
