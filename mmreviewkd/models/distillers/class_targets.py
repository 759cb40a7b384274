"""The classes of a classifier's images, for logit losses that need them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmreviewkd.utils.errors import ConfigError


def class_targets(data_samples: Sequence | None, loss: str) -> Tensor:
    """The classes of a batch as the head of mmpretrain's classifiers reads them.

    These are the scores ``gt_score`` of batch augments (Mixup, CutMix) or of the data set where the data samples have
    them, else the labels ``gt_label``.

    Args:
        data_samples (Sequence, optional): The data samples of the batch.
        loss (str): The name of the loss that needs the classes, for the message.

    Returns:
        Tensor: Labels ``[N]``, or scores ``[N, classes]``.

    Raises:
        ConfigError: If the data samples name no class, or several for an image without scores.
    """
    samples = [*(data_samples or ())]
    if samples and all('gt_score' in sample for sample in samples):
        return torch.stack([sample.gt_score for sample in samples])
    if samples and all('gt_label' in sample for sample in samples):
        labels = [sample.gt_label.reshape(-1) for sample in samples]
        if all(len(label) == 1 for label in labels):
            return torch.cat(labels)
        found = f'have {max(map(len, labels))} labels for one image'
    else:
        fields = ', '.join(sorted(samples[0].keys())) if samples else ''
        found = f'have only {fields}' if fields else 'have no fields' if samples else 'are missing'
    raise ConfigError(
        f'logit_loss={loss} needs the class of each image, gt_label or gt_score of the data samples, but these '
        f'{found}; take LogitDistillationLoss, which needs none')
