"""Distillation of logits (Hinton et al., 2015)."""

import torch.nn.functional as F
from torch import Tensor


def logit_distillation_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 4.0) -> Tensor:
    """Kullback-Leibler divergence of the softened class distributions, times the squared temperature.

    ``T^2 * KL(softmax(teacher / T) || softmax(student / T))`` (Hinton et al., Sec. 2). Maps of logits, as of semantic
    segmentation, are compared pixel by pixel (Liu et al., "Structured Knowledge Distillation for Semantic
    Segmentation", CVPR 2019).

    Args:
        student_logits (Tensor): ``[N, classes]``, or maps ``[N, classes, H, W]``.
        teacher_logits (Tensor): Of the same shape.
        temperature (float): ``T``, by which the logits are divided before the softmax. Defaults to 4.0.

    Returns:
        Tensor: The scalar loss, a mean over images and pixels, in float32.

    Raises:
        ValueError: If the shapes differ.
    """
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f'student and teacher logits must have the same shape, but are {tuple(student_logits.shape)} and '
            f'{tuple(teacher_logits.shape)}')
    student = F.log_softmax(student_logits.float() / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits.float() / temperature, dim=1)
    distributions = student.numel() // student.shape[1]
    return F.kl_div(student, teacher, reduction='sum', log_target=True) / distributions * temperature**2
