"""Running a model by one of its entries."""

from torch import Tensor, nn

#: The calls by which features are computed: ``extract_feat(inputs)``, which stops before the head, and
#: ``forward(inputs, data_samples, mode='tensor')``.
ENTRIES = ('extract_feat', 'tensor')


def run_entry(model: nn.Module, inputs: Tensor, data_samples: list | None, entry: str) -> None:
    """Call a model by one of its entries; its features are read at taps.

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
