"""MobileNetV2 for a feature pyramid."""

from mmdet.models.backbones import MobileNetV2
from torch import Tensor

from mmreviewkd.registry import MODELS


@MODELS.register_module()
class MobileNetV2Stages(MobileNetV2):
    """mmdet's MobileNetV2 without its last convolution (320 to 1280 channels), which lies past all stages.

    No pyramid on the ends of the stages passes it, so it would be run for nothing and train on nothing, and DDP would
    have to look for unused parameters.

    Args:
        out_indices (Sequence[int]): Which of the parts 0 to 6, which mmdet calls ``layer1`` to ``layer7``, are given.
            Defaults to (1, 2, 4, 6), the ends of the strides 4, 8, 16 and 32.
        kwargs: As of mmdet's.

    Raises:
        ValueError: If ``out_indices`` asks for the last convolution.
    """

    def __init__(self, out_indices: tuple[int, ...] = (1, 2, 4, 6), **kwargs) -> None:
        if 7 in out_indices:
            raise ValueError(
                f'out_indices={tuple(out_indices)} of MobileNetV2Stages: 7 is the last convolution, which it has not; '
                'use MobileNetV2')
        super().__init__(out_indices=out_indices, **kwargs)
        self.layers.remove('conv2')
        del self.conv2

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args) -> None:
        """Checkpoints of the whole MobileNetV2 fit."""
        for name in [name for name in state_dict if name.startswith(f'{prefix}conv2.')]:
            del state_dict[name]
        super()._load_from_state_dict(state_dict, prefix, *args)
