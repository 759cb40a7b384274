"""The state of autocast, in all supported versions of PyTorch."""

import torch


def autocast_dtype(device_type: str) -> torch.dtype | None:
    """The dtype that autocast computes in on a device type such as ``'cpu'``; None where it is not enabled."""
    if hasattr(torch, 'get_autocast_dtype'):
        return torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None
    if device_type == 'cpu':
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
    return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None
