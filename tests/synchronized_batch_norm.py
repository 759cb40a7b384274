"""Synchronized batch normalization on CPUs, for which torch has none, and training in float64.

Importing this module, as ``custom_imports`` of a config does, makes ``sync_bn='torch'`` convert to the former. In
float64, processes that compute the same end with the same weights; in float32, batch normalization amplifies rounding.
"""

import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.registry import HOOKS, MODEL_WRAPPERS
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules import batchnorm


class _Sum(torch.autograd.Function):
    """The sum over all processes."""

    @staticmethod
    def forward(ctx, value):
        value = value.clone()
        dist.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx, grad):
        grad = grad.clone()
        dist.all_reduce(grad)
        return grad


class SyncBatchNormOfCPUs(batchnorm._BatchNorm):
    """Normalizes ``[N, C, ...]`` by the statistics of the batches of all processes, which must be of one size."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        dims, shape = [i for i in range(x.dim()) if i != 1], [1, -1, *[1] * (x.dim() - 2)]
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = _Sum.apply(x.sum(dims)) / count
        centred = x - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(dims)) / count
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale.view(shape) + self.bias.view(shape)


batchnorm.SyncBatchNorm = SyncBatchNormOfCPUs


@MODEL_WRAPPERS.register_module()
class DataParallelInFloat64(MMDistributedDataParallel):
    """Converts the model before its gradients get their buckets."""

    def __init__(self, module, **kwargs):
        super().__init__(module.double(), **kwargs)


@HOOKS.register_module()
class Float64Hook(Hook):
    """Converts the model of a single process; the images follow from its data preprocessor."""

    def before_run(self, runner):
        if not is_model_wrapper(runner.model):
            runner.model.double()


def in_float64(cfg):
    """Make a config train in float64, with this module."""
    cfg.custom_imports = dict(imports=['synchronized_batch_norm'])
    cfg.custom_hooks.append(dict(type='Float64Hook'))
    cfg.model_wrapper_cfg = dict(type='DataParallelInFloat64', device_ids=None, broadcast_buffers=False)
