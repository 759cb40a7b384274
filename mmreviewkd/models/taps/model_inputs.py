"""What a model takes as its inputs: images, or a dict of images or point clouds as mmdet3d's detectors do."""

import functools
import inspect
from collections.abc import Mapping

import torch
from torch import Tensor, nn

_IMAGES = 'imgs'  # mmdet3d's key
_POINTS_OF_A_BLANK_CLOUD = 64


def images_in(inputs: object) -> Tensor | None:
    """The images of a batch.

    Args:
        inputs (object): The images themselves, ``[N, C, H, W]``, or mmdet3d's dict of inputs.

    Returns:
        Tensor or None: ``[N, C, H, W]``; None if there are none, such as in a batch of point clouds.
    """
    found = inputs.get(_IMAGES) if isinstance(inputs, Mapping) else inputs
    return found if isinstance(found, Tensor) else None


def with_images(inputs: object, images: Tensor) -> object:
    """The same inputs with other images; see :func:`images_in`."""
    return {**inputs, _IMAGES: images} if isinstance(inputs, Mapping) else images


def voxel_layer_of(preprocessor: nn.Module | None) -> nn.Module | None:
    """The voxelization layer of mmdet3d's data preprocessor; None for any other data preprocessor."""
    return getattr(preprocessor, 'voxel_layer', None)


def grid_size(model: nn.Module) -> tuple[int, int] | None:
    """``(H, W)`` of the voxel grid of a model of point clouds, in bird's-eye view; None for other models."""
    voxels = voxel_layer_of(getattr(model, 'data_preprocessor', None))
    return None if voxels is None else (voxels.grid_shape[1], voxels.grid_shape[0])


def as_accepted(model: nn.Module, inputs: object) -> object:
    """Turn images into what a model accepts, if its inputs are a dict; inputs of other kinds stay as they are.

    Args:
        model (nn.Module): The model.
        inputs (object): Images ``[N, C, H, W]``. For a model of point clouds each stands for a cloud of points with
            ``C`` values, of which the first three are coordinates and the others 0.

    Returns:
        object: The images, or a dict of images or point clouds.
    """
    if not isinstance(inputs, Tensor) or not _takes_dict(type(model)):
        return inputs
    voxels = voxel_layer_of(getattr(model, 'data_preprocessor', None))
    if voxels is None:
        return {_IMAGES: inputs}
    low, high = inputs.new_tensor(voxels.point_cloud_range).split(3)
    share = torch.linspace(0.1, 0.9, _POINTS_OF_A_BLANK_CLOUD).to(low)[:, None]
    points = inputs.new_zeros(len(inputs), len(share), inputs.shape[1])
    points[..., :3] = low + share * (high - low)
    return dict(points=list(points), voxels=model.data_preprocessor.voxelize(list(points), None))


@torch.compiler.assume_constant_result
def takes_metas(kind: type[nn.Module]) -> bool:
    """Whether ``extract_feat`` takes the metadata of the inputs after them, as in mmdet3d's ``MVXTwoStageDetector``."""
    return any('input_metas' in name for name in _parameters_of_extract_feat(kind))


@torch.compiler.assume_constant_result
def _takes_dict(kind: type[nn.Module]) -> bool:
    """Whether the features are computed from a parameter that is named as a dict, ``batch_inputs_dict``."""
    return any('inputs_dict' in name for name in _parameters_of_extract_feat(kind))


@functools.cache
def _parameters_of_extract_feat(kind: type[nn.Module]) -> tuple[str, ...]:
    method = getattr(kind, 'extract_feat', None)
    return () if method is None else tuple(inspect.signature(method).parameters)
