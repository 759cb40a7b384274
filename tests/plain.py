"""Networks and loops of plain PyTorch for the tests: small ones, torchvision's ResNets, images of Fashion-MNIST."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

#: Taps of a :class:`Small`, and of a ResNet of torchvision.
LAYERS = ['layer1[-1]:input', 'layer2[-1]:input', 'pool']
STAGES = [f'layer{i}[-1].relu:input' for i in (1, 2, 3, 4)]


class Small(nn.Module):
    """Two stages, a pooled vector and logits of ten classes, for gray images.

    Args:
        width (int): Channels of the first stage.
        seed (int): The seed of its weights. Defaults to 0.
    """

    def __init__(self, width: int, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer1 = nn.Sequential(nn.Conv2d(1, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.layer2 = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width), nn.ReLU(inplace=True))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2 * width, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.layer2(self.layer1(images))).flatten(1))


def resnet(blocks: int, seed: int = 0) -> nn.Module:
    """A ResNet of torchvision for small gray images; skips the test where torchvision is missing.

    Args:
        blocks (int): The number of blocks in each stage.
        seed (int): The seed of its weights. Defaults to 0.
    """
    models = pytest.importorskip('torchvision.models.resnet')
    torch.manual_seed(seed)
    model = models.ResNet(models.BasicBlock, [blocks] * 4, num_classes=10)
    model.conv1, model.maxpool = nn.Conv2d(1, 64, 3, 2, 1, bias=False), nn.Identity()
    return model


def batches(count: int, size: int = 8, pixels: int = 16, seed: int = 0) -> list:
    """Images ``[size, 1, pixels, pixels]`` of noise, and labels."""
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(size, 1, pixels, pixels, generator=generator),
             torch.randint(0, 10, (size,), generator=generator)) for _ in range(count)]


def garments(folder, kind: str = 'train') -> torch.utils.data.TensorDataset:
    """Images of Fashion-MNIST as ``[1, 28, 28]`` of about -1 to 1, with their classes."""
    images = np.fromfile(folder / f'{kind}-images-idx3-ubyte', np.uint8, offset=16).reshape(-1, 1, 28, 28)
    labels = np.fromfile(folder / f'{kind}-labels-idx1-ubyte', np.uint8, offset=8)
    return torch.utils.data.TensorDataset(
        torch.from_numpy(images).float() / 127.5 - 1, torch.from_numpy(labels).long())


def step(review: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor) -> tuple:
    """One training step; returns the student's own loss and that of the distillation."""
    output, distillation = review(images)
    own = F.cross_entropy(output, labels)
    optimizer.zero_grad()
    (own + distillation).backward()
    optimizer.step()
    return own.item(), distillation.item()
