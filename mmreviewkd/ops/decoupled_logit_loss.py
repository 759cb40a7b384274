"""Decoupled knowledge distillation of logits, DKD (Zhao et al., CVPR 2022)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .feature_pairs import at_least_single


def decoupled_logit_loss(
        student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, alpha: float = 1.0, beta: float = 8.0,
        temperature: float = 4.0) -> Tensor:
    """Distillation of the probability of the image's own class, and of those of the others among themselves.

    With the softened distributions ``q`` of the teacher and ``p`` of the student and an image of class ``c``
    (Zhao et al., Sec. 3):

    - TCKD is ``KL([q_c, 1 - q_c] || [p_c, 1 - p_c])``,
    - NCKD is the divergence between the other classes' distributions, ``q_k / (1 - q_c)`` and ``p_k / (1 - p_c)``,
    - the loss is ``T^2 * (alpha * TCKD + beta * NCKD)``. With ``alpha = 1`` and ``beta = 1 - q_c`` it would be
      :func:`logit_distillation_loss`.

    Of an image of several classes, as Mixup and CutMix make it, the loss is the mean over its classes, weighted by
    their scores, as its cross entropy is.

    Args:
        student_logits (Tensor): ``[N, classes]``, of two classes at least.
        teacher_logits (Tensor): ``[N, classes]``.
        targets (Tensor): The classes ``[N]`` as integers, or scores ``[N, classes]``.
        alpha (float): Factor of TCKD. Defaults to 1.0.
        beta (float): Factor of NCKD. Defaults to 8.0.
        temperature (float): ``T``, by which the logits are divided before the softmax. Defaults to 4.0.

    Returns:
        Tensor: The scalar loss, a mean over the images, in float32 for half-precision logits.

    Raises:
        ValueError: If the shapes do not fit.
    """
    _check_shapes(student_logits, teacher_logits, targets)
    student = F.log_softmax(at_least_single(student_logits) / temperature, dim=1)
    teacher = F.log_softmax(at_least_single(teacher_logits) / temperature, dim=1)
    student_rest, teacher_rest = _log_of_the_rest(student), _log_of_the_rest(teacher)
    own = teacher.exp() * (teacher - student) + teacher_rest.exp() * (teacher_rest - student_rest)
    others = _divergence_of_the_rest(student, teacher, student_rest, teacher_rest)
    scores = targets if targets.ndim == 2 else F.one_hot(targets.long(), student.shape[1])
    return ((alpha * own + beta * others) * scores).sum(1).mean() * temperature**2


def _log_of_the_rest(log_p: Tensor) -> Tensor:
    """``log(1 - p_c)`` of each class ``[N, classes]``, exact for the likeliest class, too, where ``1 - p_c`` rounds."""
    likeliest = _likeliest(log_p)
    of_likeliest = log_p.masked_fill(likeliest, -torch.inf).logsumexp(1, keepdim=True)
    return torch.where(likeliest, of_likeliest, torch.log1p(-log_p.exp().masked_fill(likeliest, 0)))


def _divergence_of_the_rest(
        log_p: Tensor, log_q: Tensor, log_p_rest: Tensor, log_q_rest: Tensor) -> Tensor:
    """NCKD for each class ``[N, classes]`` as the image's own.

    For all classes but the teacher's likeliest ``1 - q_c`` is at least 1/2, and the sum over the others is that over
    all classes less one summand.
    """
    likeliest = _likeliest(log_q)
    others_p, others_q = (F.log_softmax(x.masked_fill(likeliest, -torch.inf), dim=1) for x in (log_p, log_q))
    of_likeliest = (others_q.exp() * (others_q - others_p).masked_fill(likeliest, 0)).sum(1, keepdim=True)
    summands = log_q.exp() * (log_q - log_p)
    rest = summands.sum(1, keepdim=True) - summands
    of_another = rest / log_q_rest.masked_fill(likeliest, 0).exp() - log_q_rest + log_p_rest
    return torch.where(likeliest, of_likeliest, of_another)


def _likeliest(log_p: Tensor) -> Tensor:
    return F.one_hot(log_p.argmax(1), log_p.shape[1]).bool()


def _check_shapes(student: Tensor, teacher: Tensor, targets: Tensor) -> None:
    if student.shape != teacher.shape or student.ndim != 2 or student.shape[1] < 2:
        raise ValueError(
            'student and teacher logits must have the same shape [N, classes] of two classes at least, but are '
            f'{tuple(student.shape)} and {tuple(teacher.shape)}')
    if targets.shape not in (student.shape[:1], student.shape):
        raise ValueError(
            f'targets must be classes [N] or scores [N, classes], but are {tuple(targets.shape)} for logits '
            f'{tuple(student.shape)}')
