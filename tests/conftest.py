"""Fixtures shared by all tests."""

import gzip
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import mmengine.config.config
import numpy as np
import pytest
import torch
from forked_tool import run_forked
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope

from mmreviewkd.models.build import build_model
from mmreviewkd.utils.checkpoint.download import cached_path
from mmreviewkd.utils.config import metafile_weights, model_config

ROOT = Path(__file__).parent.parent
DATA = Path(__file__).parent / 'data'
EXHAUSTIVE = pytest.mark.exhaustive
REVIEW_CASES = ['same_sizes', 'teacher_larger', 'odd_ratio', 'pyramid_not_square']


def others_exhaustive(values, shown: int | list) -> list:
    """Values of ``parametrize``, of which all but the first ``shown``, or those in ``shown``, are left to test-all."""
    values = list(values)
    shown = values[:shown] if isinstance(shown, int) else shown
    assert all(value in values for value in shown), values
    return [
        value if value in shown else pytest.param(*(value if isinstance(value, tuple) else [value]), marks=EXHAUSTIVE)
        for value in values]


class ReferenceCase:
    """Numbers computed once by a plain implementation that matched the authors' code."""

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.arrays = np.load(DATA / 'reference' / f'{name}.npz')
        self.dtype = dtype

    def tensor(self, key: str) -> torch.Tensor:
        value = torch.from_numpy(self.arrays[key])
        return value.to(self.dtype) if value.is_floating_point() else value

    def group(self, prefix: str) -> dict[str, torch.Tensor]:
        """All tensors whose key is ``prefix.<name>``, by name."""
        return {key[len(prefix) + 1:]: self.tensor(key) for key in self.arrays if key.startswith(prefix + '.')}

    def levels(self, prefix: str) -> list[torch.Tensor]:
        """All tensors ``prefix.0, prefix.1, ...``, in order."""
        group = self.group(prefix)
        return [group[str(i)] for i in range(len(group))]


@pytest.fixture(params=REVIEW_CASES)
def review_case_name(request) -> str:
    return request.param


@pytest.fixture(autouse=True, scope='session')
def _configs_formatted_once():
    """MMEngine formats the text of a config for every checkpoint, which takes longer than the steps of a small run."""
    formatted, format_code = {}, mmengine.config.config.FormatCode

    def once(text, **options):
        if text not in formatted:
            formatted[text] = format_code(text, **options)
        return formatted[text]

    mmengine.config.config.FormatCode = once
    yield
    mmengine.config.config.FormatCode = format_code


@pytest.fixture(autouse=True)
def _no_training_under_way():
    """A run of an earlier test leaves its iteration in the global message hub, where a warm-up would read it."""
    MessageHub.get_current_instance().runtime_info.pop('loop_stage', None)


@pytest.fixture(autouse=True)
def _default_scope():
    init_default_scope('mmpretrain' if importlib.util.find_spec('mmpretrain') else 'mmengine')


@pytest.fixture(scope='module')
def hub(tmp_path_factory):
    """A cache of downloads in which made-up weights lie where those of the zoo would."""
    folder = tmp_path_factory.mktemp('hub')
    made = {}

    def fill(reference):
        path = cached_path(metafile_weights(reference, 'teacher'))
        if reference not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(dict(state_dict=build_model(model_config(reference, 'teacher'), 'teacher').state_dict()), path)
            made[reference] = path
        return made[reference]

    before = torch.hub.get_dir()
    torch.hub.set_dir(str(folder))
    yield fill
    torch.hub.set_dir(before)


@pytest.fixture
def probes_of_32_pixels(monkeypatch):
    """Networks without a stem that reduces are slow to probe at the usual image size."""
    monkeypatch.setattr('mmreviewkd.models.taps.probe.SIDES', (32,))


def cifar_classifier(depth: int = 8, widths: tuple = (4, 4, 8, 16), num_classes: int = 10, **backbone) -> dict:
    """The model dict of a small classifier of 28 x 28 gray images; skips the test where mmpretrain is missing."""
    pytest.importorskip('mmpretrain')
    return dict(
        type='ImageClassifier',
        backbone=dict(type='mmreviewkd.CIFARResNet', depth=depth, widths=widths, in_channels=1, **backbone),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead', num_classes=num_classes, in_channels=widths[-1],
            loss=dict(type='CrossEntropyLoss')))


STAGES = ['backbone.layer1', 'backbone.layer2', 'backbone.layer3', 'neck']
STAGES_BEFORE_RELU = [*(f'backbone.layer{i}[-1].relu:input' for i in (1, 2, 3)), 'neck']


def review_config(**changes) -> dict:
    """The model dict of a small distillation with a teacher of random weights."""
    return {**dict(
        type='mmreviewkd.ReviewDistiller',
        student=dict(model=cifar_classifier(), taps=STAGES),
        teacher=dict(model=cifar_classifier(14, (8, 8, 16, 32)), checkpoint='init_cfg', taps=STAGES_BEFORE_RELU)),
        **changes}


def gray_batch(size: int = 8, pixels: int = 28, seed: int = 0) -> dict:
    """A batch as the data loader gives it; skips the test where mmpretrain is missing."""
    DataSample = pytest.importorskip('mmpretrain.structures').DataSample
    generator = torch.Generator().manual_seed(seed)
    return dict(
        inputs=torch.randint(0, 256, (size, 1, pixels, pixels), generator=generator, dtype=torch.uint8),
        data_samples=[DataSample().set_gt_label(i % 10) for i in range(size)])


@pytest.fixture(scope='session')
def fashion_mnist(tmp_path_factory) -> Path:
    """A folder with the first 384 training and 200 test images of Fashion-MNIST."""
    folder = tmp_path_factory.mktemp('fashion_mnist')
    for packed in (DATA / 'fashion_mnist').glob('*.gz'):
        (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


def small_run(config: str, fashion_mnist: Path, **options) -> Config:
    """A config of configs/fashion_mnist on the few images of the fixture, as a Config to be dumped or run.

    Skips the test where mmpretrain is missing.
    """
    pytest.importorskip('mmpretrain')
    cfg = Config.fromfile(ROOT / 'configs' / 'fashion_mnist' / config)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(fashion_mnist)
    cfg.train_dataloader.dataset.indices = None
    cfg.train_dataloader.batch_size = 64
    cfg.val_dataloader.batch_size = cfg.test_dataloader.batch_size = 100
    cfg.default_hooks.logger.interval = 1
    cfg.train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=2)
    cfg.param_scheduler.total_steps = 2
    if 'teacher' in cfg.model:
        cfg.model.teacher.checkpoint = 'init_cfg'
        cfg.model.pop('warmup_iters', None)
    cfg.merge_from_dict(options)
    return cfg


def run_tool(*command, cwd: Path, check: bool = True, **environment) -> subprocess.CompletedProcess:
    """Run a Python tool, or a shell script, in a process of its own.

    A tool that is to see this repository's package is forked from a process that has imported the libraries.
    """
    command = [*map(str, command)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    variables = {**os.environ, 'PATH': path, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', **environment}
    if command[0].endswith('.py') and 'PYTHONPATH' not in environment:
        done = run_forked(command, cwd, variables)
    else:
        program = 'bash' if command[0].endswith('.sh') else sys.executable
        done = subprocess.run([program, *command], cwd=cwd, capture_output=True, text=True, env=variables)
    if check and done.returncode:
        raise AssertionError(f'{command} ended with {done.returncode}:\n{done.stderr[-6000:]}')
    return done
