"""Convert images normalized by the student's data preprocessor into the teacher's normalization."""

import logging
from collections.abc import Sequence

import torch
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from mmreviewkd.models.taps.model_inputs import images_in, voxel_layer_of, with_images
from mmreviewkd.utils.errors import ConfigError

# Attributes by which the libraries name the same setting; of two, the first one counts.
_CHANNEL_ORDER = (
    '_channel_conversion',  # MMEngine, mmdet, mmpose, mmyolo, mmocr
    'channel_conversion',  # mmsegmentation
    'to_rgb',  # mmpretrain, mmdet's re-identification, mmaction2
)
_PAD_VALUE = (
    'pad_value',  # all but
    'pad_val',  # mmsegmentation
)
_DIVISOR = 'pad_size_divisor', 'size_divisor'


def renormalize(
        inputs: Tensor, scale: Tensor, shift: Tensor, flip: bool = False,
        image_shapes: Sequence[tuple[int, int]] = (), pad_value: float = 0.0) -> Tensor:
    """Convert images normalized for one model into images normalized for another.

    Both normalizations are affine per channel, so the result is also right after mixup, CutMix and multi-scale
    resizing.

    Args:
        inputs (Tensor): ``[N, C, H, W]``, or clips ``[N, frames, C, H, W]`` or ``[N, C, T, H, W]``.
        scale (Tensor): ``[C, 1, 1]`` or ``[1, 1, 1]``, in the channel order of the result; ``[C, 1, 1, 1]`` for
            ``[N, C, T, H, W]``.
        shift (Tensor): Same shape as ``scale``; the result is ``scale * inputs + shift``.
        flip (bool): Whether the order of the channels is reversed first. Defaults to False.
        image_shapes (Sequence[tuple[int, int]]): ``(h, w)`` of each image; the pixels outside are padding. If empty,
            no pixel counts as padding. Defaults to ().
        pad_value (float): The value of padding in the result. Defaults to 0.0.

    Returns:
        Tensor: Of the shape, type and memory format of ``inputs``.
    """
    view = ((inputs.flip(-scale.dim()) if flip else inputs) * scale + shift).to(inputs.dtype)
    for image, (height, width) in zip(view, image_shapes):
        image[..., height:, :] = pad_value
        image[..., width:] = pad_value
    return view


class TeacherView:
    """Convert the student's images by :func:`renormalize`, with arguments derived from two data preprocessors.

    Args:
        student (nn.Module): The student's data preprocessor, of MMEngine or any OpenMMLab library whose attributes
            are known: mmpretrain, mmdet, mmsegmentation, mmpose, mmyolo, mmocr, mmaction2, mmdet3d.
        teacher (nn.Module): The teacher's data preprocessor.

    Attributes:
        same (bool): Whether both normalize alike, so that the images need no conversion.
        flip (bool): Whether they order channels differently.
        fill (bool): Whether padding must be set to the teacher's value.
        pad_value (float, optional): The teacher's padding value; None if it pads before it normalizes.

    Raises:
        ConfigError: If a data preprocessor says in no known way how it normalizes images, or the two divide point
            clouds into different voxels.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        _check_same_voxels(student, teacher)
        s_mean, s_std, s_flipped, s_pad = _normalization(student, 'student')
        t_mean, t_std, t_flipped, self.pad_value = _normalization(teacher, 'teacher')
        self.flip = s_flipped != t_flipped
        student = _inner(student)
        self._divisor = next((getattr(student, name) for name in _DIVISOR if getattr(student, name, None)), 1)
        self._resizes = getattr(student, 'batch_augments', None) is not None
        self._warned = False
        if self.flip:
            s_mean, s_std = s_mean.flip(0), s_std.flip(0)
        self.scale = s_std / t_std
        self.shift = (s_mean - t_mean) / t_std
        # Where the affine map itself turns the student's padding into the teacher's, blurred edges come out right too.
        # That is so where both pad before they normalize.
        self.fill = None not in (s_pad, self.pad_value) and not torch.allclose(
            self.scale * s_pad + self.shift, torch.tensor(float(self.pad_value)), atol=1e-4)
        self.same = (
            not self.flip and not self.fill and bool((self.scale == 1).all() and (self.shift == 0).all()))

    def __call__(self, inputs: Tensor, data_samples: Sequence | None = None) -> Tensor:
        """Convert a batch; returns ``inputs`` unchanged if both normalizations are the same.

        Args:
            inputs (Tensor): The student's batch, ``[N, C, H, W]``, or clips, see :func:`renormalize`; or a dict with
                them, see :func:`~mmreviewkd.models.taps.model_inputs.images_in`.
            data_samples (Sequence, optional): Its data samples, whose ``img_shape`` separates images from padding.

        Returns:
            Tensor: Of the same shape.
        """
        images = images_in(inputs)
        if self.same or images is None:
            return inputs
        self.scale, self.shift = self.scale.to(images.device), self.shift.to(images.device)
        shapes = self._image_shapes(images, data_samples or ()) if self.fill else ()
        return with_images(inputs, renormalize(
            images, self.scale, self.shift, self.flip and images.shape[-self.scale.dim()] == 3, shapes,
            self.pad_value))

    def _image_shapes(self, images: Tensor, samples: Sequence) -> list[tuple[int, int]]:
        """The ``(h, w)`` of each image in the padded batch; none if the data samples do not tell.

        Some transforms, such as torchvision's, leave ``img_shape`` as it was before them. It is that of the images if
        the largest ones fill the batch, or if it was set with the padding (mmsegmentation) or by augmentations of the
        whole batch (mmdet).
        """
        shapes = [tuple(sample.img_shape[:2]) for sample in samples if 'img_shape' in sample]
        if not shapes or len(shapes) != len(images):
            return []
        filled = tuple(-(-max(sides) // self._divisor) * self._divisor for sides in zip(*shapes))
        if filled == tuple(images.shape[-2:]) or all(
                'padding_size' in sample or (self._resizes and 'batch_input_shape' in sample) for sample in samples):
            return shapes
        if not self._warned:
            self._warned = True
            print_log(
                f'img_shape of the data samples is not the size of the images (at most {filled}, in a batch of '
                f'{tuple(images.shape[-2:])}), so the teacher sees padding as the student does; a transform of another '
                'library may have left it unchanged', 'current', logging.WARNING)
        return []


def _check_same_voxels(student: nn.Module, teacher: nn.Module) -> None:
    """Refuse a teacher whose voxels are not those that the student's data preprocessor makes for both."""
    own, other = ((getattr(preprocessor, 'voxel_type', None), voxel_layer_of(preprocessor))
                  for preprocessor in (student, teacher))
    if repr(own) != repr(other) and (own[1], other[1]) != (None, None):
        raise ConfigError(
            'student.model and teacher.model divide point clouds into different voxels, but both see those of the '
            f"student's data_preprocessor: {own} and {other}; give both the same voxel_layer and voxel_type")


def _inner(preprocessor: nn.Module) -> nn.Module:
    """The preprocessor to which mmdet's MultiBranchDataPreprocessor passes every branch; any other one itself."""
    return getattr(preprocessor, 'data_preprocessor', preprocessor)


def _normalization(preprocessor: nn.Module, whose: str) -> tuple[Tensor, Tensor, bool, float | None]:
    """Mean and standard deviation ``[C, 1, 1]``, whether the channel order is reversed, and the padding value."""
    preprocessor = _inner(preprocessor)
    # MMEngine's base class and no preprocessor at all leave images as they are.
    if type(preprocessor).forward in (BaseDataPreprocessor.forward, nn.Identity.forward):
        return torch.zeros(1, 1, 1), torch.ones(1, 1, 1), False, 0
    normalizes = _attribute(preprocessor, ('_enable_normalize',), 'whether it normalizes', whose)
    flipped = _attribute(preprocessor, _CHANNEL_ORDER, 'whether it reverses the channels', whose)
    # mmaction2's pads clips before it normalizes them.
    pad_value = None if hasattr(preprocessor, 'format_shape') else _attribute(
        preprocessor, _PAD_VALUE, 'its padding value', whose)
    mean = preprocessor.mean.cpu().float() if normalizes else torch.zeros(1, 1, 1)
    std = preprocessor.std.cpu().float() if normalizes else torch.ones(1, 1, 1)
    return mean, std, bool(flipped), pad_value


def _attribute(preprocessor: nn.Module, names: Sequence[str], what: str, whose: str) -> float:
    """The value of the first of several attributes that exists."""
    # mmagic's preprocessors convert between colour orders by other attributes, which the inherited flag contradicts.
    if not hasattr(preprocessor, 'output_channel_order'):
        for name in names:
            if hasattr(preprocessor, name):
                return getattr(preprocessor, name)
    raise ConfigError(
        f'{whose}.model: {type(preprocessor).__name__} says in none of the known ways ({", ".join(names)}) {what}, so '
        "the student's images cannot be converted to the teacher's normalization; a teacher.model without "
        'data_preprocessor sees them as the student does')
