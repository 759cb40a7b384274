"""A training step and a prediction of a pair, whose images are made small."""

import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.config import without_pretrained

_SIZES = ('scale', 'img_scale', 'crop_size', 'size')


def shrunk(pipeline, sizes):
    """A pipeline in which sizes of images are others.

    Args:
        pipeline: The transforms.
        sizes: The new ``(width, height)`` for each key of a transform, or None for all keys that are not given.
    """
    for step in pipeline:
        for key in filter(step.__contains__, _SIZES):
            step[key] = sizes.get(key, sizes.get(None))
    return pipeline


def trained_step(cfg, batch):
    """Build a distiller, whose student starts without pretrained weights, and take a training step.

    Checks that the losses are finite, that student and connector get gradients and move, and the teacher does not.
    """
    cfg.model.student.model = without_pretrained(cfg.model.student.model)
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).train()
    loss, log = model.parse_losses(model(**model.data_preprocessor(batch, training=True), mode='loss'))
    loss.backward()
    assert torch.isfinite(loss) and log['loss_distill'] > 0
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    assert all(parameter.grad is None for parameter in model.frozen_teacher.model.parameters())
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    build_optim_wrapper(model, cfg.optim_wrapper).step()
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert {name.split('.')[0] for name in moved} == {'student', 'connector'}
    return model.eval()
