"""Count what a training step in bfloat16 would allocate and move on a GPU, without one.

    python tests/count_on_fake_cuda.py --pair imagenet-resnet34-18 --batch-size 64

The step runs on fake tensors. Counted are the bytes of all tensors that are alive at once, without workspaces of the
libraries, and those that all operations read and write; views are free. Maps are in the channels_last memory format.
"""

import argparse
from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

import torch
from fake_cuda import backward, fake_cuda
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmreviewkd.models.build import build_model
from mmreviewkd.models.connectors.measured_choice import MeasuredChoice
from mmreviewkd.studies.benchmark.cases import PAIRS
from mmreviewkd.studies.benchmark.steps import textbook_of
from mmreviewkd.studies.benchmark.textbook import TextbookLoss

KINDS = ('floor', 'textbook', 'connector plain', 'ours', "ours, prefer='memory'", 'ours, with_cp')
_FREE = ('empty', 'empty_like', 'new_empty', 'empty_strided', 'new_empty_strided', 'device', 'detach')


class Counts(NamedTuple):
    """The most bytes alive at once, bytes read and written, and the number of operations."""

    peak: int
    moved: int
    operations: int


class Meter(TorchDispatchMode):
    """Counts the memory and the traffic of CUDA tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counts(0, 0, 0)
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given, made = (
            [t for t in tree_leaves(values) if isinstance(t, Tensor) and t.device.type == 'cuda']
            for values in ((args, kwargs or {}), result))
        written = [t for t in given if any(t is other for other in made)]
        if given or made:
            for tensor in made:
                storage = tensor.untyped_storage()
                self._alive[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
            self._alive = {key: value for key, value in self._alive.items() if not value[0].expired()}
            is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
            costs = not is_view and func._schema.name.split('::')[1] not in _FREE
            # What is changed in place is read and written, but an argument `out` only written.
            moved = sum(map(_bytes, [*given, *made])) - (sum(map(_bytes, written)) if 'out' in (kwargs or {}) else 0)
            self.counts = Counts(
                max(self.counts.peak, sum(size for _, size in self._alive.values())),
                self.counts.moved + (moved if costs else 0), self.counts.operations + costs)
        return result


def _bytes(tensor: Tensor) -> int:
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def count(pair: str, images: int, kind: str) -> Counts:
    """Count a step of a pair of the benchmark: forward pass, losses and backward pass under autocast to bfloat16.

    Args:
        pair (str): The name of a pair of classifiers.
        images (int): Images ``N``.
        kind (str): One of :data:`KINDS`.
    """
    init_default_scope('mmpretrain')
    side = 32 if pair.startswith('cifar') else 224
    with fake_cuda(), torch.autocast('cuda', torch.bfloat16), mock.patch.object(
            torch._C, '_conv_determine_backend_memory_format', lambda *_: torch.channels_last):  # as cuDNN does
        distiller = _distiller(pair, kind)
        inputs = torch.randn(images, 3, side, side, device='cuda').contiguous(memory_format=torch.channels_last)
        meter = Meter()
        with meter:
            if kind == 'floor':
                with torch.no_grad():
                    distiller.frozen_teacher.model.extract_feat(inputs)
                losses = [distiller.student(inputs, None, mode='loss')['loss']]
            else:
                named = distiller(inputs, None, mode='loss')
                losses = [named['loss_student'] + named['loss_distill']]
                del named
            with torch.autocast('cuda', enabled=False):
                backward(losses)
    return meter.counts


def _distiller(pair: str, kind: str) -> nn.Module:
    distiller = build_model(PAIRS[pair].distiller(), 'model')
    teacher, connector = distiller.frozen_teacher, distiller.connector
    teacher.optimize = False  # it compares values, which fake tensors do not have, as these two do
    with mock.patch.multiple(
            'mmreviewkd.models.distillers.frozen_teacher', check_finite=lambda *_: None,
            TeacherView=lambda *_: None), mock.patch.object(
            teacher, '_build_with_weights', lambda: build_model(teacher.config, 'teacher.model')):
        teacher.load(distiller.student)
    if kind == 'textbook':
        distiller.connector = textbook_of(connector)
        distiller.distill_loss = TextbookLoss(1.0)
    connector.measured_choice = MeasuredChoice(devices=set())  # there are no times
    connector.implementation = 'plain' if kind == 'connector plain' else 'auto'
    connector.prefer = 'memory' if 'memory' in kind else 'time'
    connector.with_cp = 'with_cp' in kind
    distiller.train().to('cuda')
    distiller.student.forward = _own_loss(distiller.student)
    return distiller


def _own_loss(student: nn.Module) -> Callable:
    """A loss of the classes in place of the student's own, which looks at labels."""
    def forward(inputs: Tensor, data_samples: list | None = None, mode: str = 'loss') -> dict[str, Tensor]:
        return dict(loss=student.head.forward(student.extract_feat(inputs)).float().logsumexp(1).mean())

    return forward


def main() -> None:
    """Print a table of all kinds of steps, as ratios to the floor."""
    classifiers = [name for name in PAIRS if name.startswith(('cifar', 'imagenet'))]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--pair', nargs='+', choices=classifiers, default=classifiers)
    parser.add_argument('--batch-size', type=int, default=64)
    args = parser.parse_args()
    MMLogger.get_instance('count', log_level='ERROR')
    for pair in args.pair:
        print(f'\n### {pair}, {args.batch_size} images\n\n| | MB peak | peak | MB moved | moved | operations |')
        print('|---|---|---|---|---|---|', flush=True)
        found = {}
        for kind in KINDS:
            counts = found[kind] = count(pair, args.batch_size, kind)
            floor = found['floor']
            print(f'| {kind} | {counts.peak / 1e6:.0f} | {counts.peak / floor.peak:.2f} | {counts.moved / 1e6:.0f} | '
                  f'{counts.moved / floor.moved:.2f} | {counts.operations} |', flush=True)


if __name__ == '__main__':
    main()
