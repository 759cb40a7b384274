"""MobileNetV2 for a feature pyramid."""

from typing import Any

from mmdet.models.backbones import MobileNetV2
from torch import Tensor

from mmreviewkd.registry import MODELS


@MODELS.register_module()
class MobileNetV2Stages(MobileNetV2):
    """mmdet's MobileNetV2 without its last convolution (320 to 1280 channels).

    A feature pyramid on the outputs of the stages does not use that convolution. Computing it would be wasted, and
    since its parameters get no gradients, DDP would need ``find_unused_parameters=True``.

    Args:
        out_indices (Sequence[int]): Which of ``layer1`` to ``layer7`` (0 to 6) to output. Defaults to (1, 2, 4, 6),
            the last layers at strides 4, 8, 16 and 32.
        **kwargs: Further arguments of mmdet's MobileNetV2.

    Raises:
        ValueError: If ``out_indices`` contains 7, the last convolution.
    """

    def __init__(self, out_indices: tuple[int, ...] = (1, 2, 4, 6), **kwargs: Any) -> None:
        if 7 in out_indices:
            raise ValueError(
                f'MobileNetV2Stages: out_indices={tuple(out_indices)} contains 7, the last convolution, which it '
                'lacks; use MobileNetV2')
        super().__init__(out_indices=out_indices, **kwargs)
        self.layers.remove('conv2')
        del self.conv2

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Load checkpoints of the complete MobileNetV2, too, by dropping their last convolution."""
        for name in [name for name in state_dict if name.startswith(f'{prefix}conv2.')]:
            del state_dict[name]
        super()._load_from_state_dict(state_dict, prefix, *args)
