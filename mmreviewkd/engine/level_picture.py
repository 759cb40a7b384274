"""Draw what a distiller compares at each level of an image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmreviewkd.models.distillers.level_views import LevelView

_COLUMNS = ('level', 'its attention', "residual's attention", 'student', 'teacher', 'difference')
_CELL = 1.9  # inches


def draw_levels(image: np.ndarray, views: Sequence[LevelView], title: str = '') -> np.ndarray:
    """Draw a row for each level: image, attention maps, the student's and the teacher's features, their difference.

    A feature of many channels is drawn as the root mean square over them; those of student, teacher and difference have
    one scale of colours. A level of one pixel is drawn as a line over its channels.

    Args:
        image (np.ndarray): ``[H, W, 3]``, RGB, uint8.
        views (Sequence[LevelView]): The levels, fine to coarse, whose first image is drawn.
        title (str): The title. Defaults to ''.

    Returns:
        np.ndarray: The picture, ``[H', W', 3]``, RGB, uint8.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    width, height = _CELL * len(_COLUMNS), _CELL * len(views) + 0.6
    figure = Figure(figsize=(width, height), dpi=80)
    figure.subplots_adjust(0.3 / width, 0.3 / height, 1 - 0.1 / width, 1 - 0.5 / height, wspace=0.12, hspace=0.22)
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=9)
    grid = figure.subplots(len(views), len(_COLUMNS), squeeze=False)
    for level, (row, view) in enumerate(zip(grid, views), start=1):
        for axes, column in zip(row, _COLUMNS):
            axes.set_title(column if level == 1 else '', fontsize=8)
            axes.set(xticks=[], yticks=[])
        row[0].imshow(image, cmap='gray')
        row[0].set_ylabel(f'level {level}', fontsize=8)
        row[0].set_xlabel(f'distance {float(view.distance):.4g}', fontsize=8)
        _draw_attention(row[1:3], view.attention)
        _draw_features(row[3:], view)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_attention(axes: Sequence[Any], attention: Tensor | None) -> None:
    for axis, which in zip(axes, range(2)):
        if attention is None:
            axis.axis('off')
            continue
        values = _plain(attention[0, which])
        axis.imshow(values, vmin=0, vmax=1, cmap='viridis')
        axis.set_xlabel(f'{values.min():.2f} to {values.max():.2f}', fontsize=8)


def _draw_features(axes: Sequence[Any], view: LevelView) -> None:
    student, teacher = _plain(view.student[0]), _plain(view.teacher[0])
    maps = [student, teacher]
    if student.shape == teacher.shape:
        maps.append(student - teacher)
    else:  # without a connector
        axes[2].axis('off')
    if all(values[0].size == 1 for values in maps):
        span = [bound for values in maps for bound in (values.min(), values.max())]
        for axis, values in zip(axes, maps):
            axis.plot(values.ravel(), linewidth=0.8)
            axis.set_ylim(min(span), max(span) + 1e-6)
        return
    energies = [np.sqrt(np.square(values).mean(0)) for values in maps]
    highest = max(energy.max() for energy in energies)
    for axis, energy in zip(axes, energies):
        axis.imshow(energy, vmin=0, vmax=highest, cmap='magma')
        axis.set_xlabel(f'mean {energy.mean():.3g}', fontsize=8)


def _plain(values: Tensor) -> np.ndarray:
    return values.detach().to('cpu', torch.float32).numpy()
