"""The contract between a distiller and its connector."""

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class BaseConnector(nn.Module):
    """Maps the student's features to features that the distillation loss compares with the teacher's.

    A distiller builds its connector from ``connector=dict(type=...)``, passing ``in_channels`` and ``out_channels``
    (the channels of the student's and of the teacher's features, fine to coarse) if ``__init__`` has parameters of
    these names. In each training step it calls :meth:`forward` and :meth:`targets` and passes the results of both to
    the ``distill_loss``. A connector of your own subclasses this class and is registered in ``MODELS``. A plain
    ``nn.Module`` with the same ``forward`` works as well; its outputs are compared with all of the teacher's features.
    """

    @abstractmethod
    def forward(
            self, student_features: Sequence[Tensor], target_sizes: Sequence[tuple[int, int]]) -> tuple[Tensor, ...]:
        """Map the student's features.

        Args:
            student_features (Sequence[Tensor]): ``[N, C_k, h_k, w_k]`` per level, fine to coarse.
            target_sizes (Sequence[tuple[int, int]]): ``(H_k, W_k)`` of the teacher's features, in pixels.

        Returns:
            tuple[Tensor, ...]: One map for each of :meth:`targets`, of its shape.
        """

    def targets(self, teacher_features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Select the teacher's features that the outputs of :meth:`forward` are compared with; by default all of them.

        Args:
            teacher_features (Sequence[Tensor]): ``[N, O_k, H_k, W_k]`` per level, fine to coarse.

        Returns:
            tuple[Tensor, ...]: One feature for each output of :meth:`forward`.
        """
        return tuple(teacher_features)


def connector_targets(connector: nn.Module, teacher_features: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Select the teacher's features that a connector's outputs are compared with.

    Args:
        connector (nn.Module): A :class:`BaseConnector`, or any module with the same ``forward``.
        teacher_features (Sequence[Tensor]): ``[N, O_k, H_k, W_k]`` per level, fine to coarse.

    Returns:
        tuple[Tensor, ...]: The selection of :meth:`BaseConnector.targets`; all features if the connector has no such
        method.
    """
    if hasattr(connector, 'targets'):
        return connector.targets(teacher_features)
    return tuple(teacher_features)
