"""The calls by which a model computes its features."""

from torch import Tensor, nn

#: The calls by which features are computed: ``extract_feat(inputs)``, which stops before the head, and
#: ``forward(inputs, data_samples, mode='tensor')``.
ENTRIES = ('extract_feat', 'tensor')


def run_entry(model: nn.Module, inputs: Tensor, data_samples: list | None, entry: str) -> None:
    """Run a model by ``extract_feat`` or ``forward``, so that its taps can be recorded.

    Args:
        model (nn.Module): An MMEngine ``BaseModel``.
        inputs (Tensor): The batch, ``[N, C, H, W]``.
        data_samples (list, optional): Its data samples; ``extract_feat`` takes none.
        entry (str): One of :data:`ENTRIES`.
    """
    if entry == 'extract_feat':
        model.extract_feat(inputs)
    else:
        model(inputs, data_samples, mode='tensor')
