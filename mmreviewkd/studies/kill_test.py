"""The kill test: killed and resumed runs must end with the weights of uninterrupted runs."""

import multiprocessing
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config

from mmreviewkd.apis import build_runner, read_config
from mmreviewkd.utils.errors import ConfigError
from mmreviewkd.utils.progress import tracked

_CONFIG = 'mmreviewkd::fashion_mnist/resnet8_review-resnet14.py'
_AUGMENTED = [
    dict(type='RandomCrop', crop_size=28, padding=2),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='Rotate', angle=15.0, prob=0.5, random_negative_prob=0.5),
    dict(type='PackInputs'),
]
# By name, arguments of `small_config`.
CASES = {
    'epochs': dict(accumulate=5),
    'epochs saved by epoch': dict(by_epoch=True),
    'epochs, best checkpoints only': dict(interval=-1),
    'epochs, two workers': dict(workers=2),
    'epochs, two persistent workers': dict(workers=2, persistent=True),
    'epochs saved by epoch, two persistent workers': dict(workers=2, persistent=True, by_epoch=True),
    'epochs, persistent workers restarted by a hook': dict(workers=2, persistent=True, switch=True),
    'iterations': dict(iterations=True),
    'iterations, three persistent workers': dict(iterations=True, workers=3, persistent=True, interval=2),
}


def small_config(
        data_root: str, iterations: bool = False, workers: int = 0, persistent: bool = False, by_epoch: bool = False,
        interval: int = 3, accumulate: int = 2, switch: bool = False) -> Config:
    """Make the config of a distillation of 12 iterations with all kinds of state.

    These are EMA, accumulated gradients, augmentation, Mixup, a one-cycle schedule and the best checkpoint.

    Args:
        data_root (str): Folder of Fashion-MNIST's extracted files; a few hundred images are enough.
        iterations (bool): Whether to train by iterations with an ``InfiniteSampler`` instead of by epochs. Defaults to
            False.
        workers (int): Number of worker processes of the data loader. Defaults to 0.
        persistent (bool): Whether the workers are persistent. Defaults to False.
        by_epoch (bool): Whether to save a checkpoint every epoch instead of every ``interval`` iterations. Defaults to
            False.
        interval (int): Iterations between checkpoints; -1 for none but the best and the last. Defaults to 3.
        accumulate (int): Number of iterations over which gradients are accumulated. Defaults to 2.
        switch (bool): Whether a hook switches the augmentation at the second epoch, and for that restarts persistent
            workers. Defaults to False.
    """
    cfg = read_config(_CONFIG)
    student = cfg.model.student
    cfg.model.warmup_iters = 8
    cfg.model.teacher = dict(model=student.model, checkpoint='init_cfg', taps=student.taps)
    student.model.train_cfg = dict(augments=dict(type='Mixup', alpha=1.0))  # draws in the main process
    cfg.custom_hooks = [
        *cfg.custom_hooks,  # channels-last weights, the student's export
        dict(type='EMAHook', momentum=0.1, update_buffers=True)]
    if switch:
        switched = dict(action_epoch=2, train_pipeline=[_AUGMENTED[0], _AUGMENTED[-1]])
        cfg.custom_hooks.append(dict(type='mmpretrain.SwitchRecipeHook', schedule=[switched]))
    cfg.train_dataloader.update(batch_size=32, num_workers=workers, persistent_workers=persistent)
    cfg.train_dataloader.dataset.update(data_root=data_root, pipeline=_AUGMENTED, indices=180)
    cfg.val_dataloader.dataset.update(data_root=data_root, indices=20)
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.optim_wrapper.accumulative_counts = accumulate
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=1 if by_epoch else interval, by_epoch=by_epoch, max_keep_ckpts=1,
        save_best='auto')
    if iterations:
        cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
        cfg.train_cfg = dict(by_epoch=False, max_iters=12, val_interval=interval)
        cfg.param_scheduler = dict(type='OneCycleLR', eta_max=0.1, total_steps=12, by_epoch=False)
        cfg.log_processor = dict(by_epoch=False)
    else:
        cfg.train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=1)
        cfg.param_scheduler.total_steps = 2
    return cfg


def kill_test(
        configs: dict[str, Config], kills: int, out_dir: str, seed: int = 0,
        report: Callable[[str], None] = print) -> int:
    """Kill runs with SIGKILL at random times, resume them, and compare their students with those of uninterrupted runs.

    Args:
        configs (dict[str, Config]): The configs to train, by name, which take turns; each exports a student.
        kills (int): Number of kills, each in a separate run.
        out_dir (str): The folder for the work dirs.
        seed (int): Seed of the times. Defaults to 0.
        report (Callable[[str], None]): Called with a line for every kill. Defaults to :func:`print`.

    Returns:
        int: The number of students that differ in any bit from that of the uninterrupted run.

    Raises:
        ConfigError: If ``out_dir`` is not empty, or a run fails by itself.
    """
    out = Path(out_dir)
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f'--out-dir: {out_dir!r} is not empty; runs there would resume instead of starting')
    moments = random.Random(seed)
    processes = multiprocessing.get_context('forkserver')
    processes.set_forkserver_preload(['mmreviewkd.apis', 'mmpretrain.datasets', 'mmpretrain.models'])
    whole = {}
    for name in list(configs)[:kills]:
        whole[name] = _run_to_its_end(processes, configs[name], out / name / 'whole')
        report(f'{name}: the whole run took {whole[name]:.1f} s')
    different = 0
    for number in tracked(range(kills), f'{kills} kills', kills):
        name = list(configs)[number % len(configs)]
        folder, moment = out / name / f'killed_{number}', moments.uniform(0, whole[name])
        process = _start(processes, configs[name], folder)
        process.join(moment)
        process.kill()
        process.join()
        files = sorted(path.name for path in folder.glob('*.pth')) if folder.exists() else []
        _run_to_its_end(processes, configs[name], folder)
        equal = _equal(_student(out / name / 'whole'), _student(folder))
        different += not equal
        report(
            f'kill {number + 1} of {kills}: {name}, after {moment:.1f} s, with {", ".join(files) or "no checkpoint"}: '
            f'the student is {"equal" if equal else "DIFFERENT"}')
    return different


def _start(processes: multiprocessing.context.BaseContext, cfg: Config, work_dir: Path) -> multiprocessing.Process:
    work_dir.parent.mkdir(parents=True, exist_ok=True)
    process = processes.Process(target=_train, args=(cfg.to_dict(), str(work_dir)))
    process.start()
    return process


def _run_to_its_end(processes: multiprocessing.context.BaseContext, cfg: Config, work_dir: Path) -> float:
    begin = time.monotonic()
    process = _start(processes, cfg, work_dir)
    process.join()
    if process.exitcode:
        raise ConfigError(f'the run of {work_dir} ended with exit code {process.exitcode}; see {work_dir}.log')
    return time.monotonic() - begin


def _train(config: dict, work_dir: str) -> None:
    log = os.open(f'{work_dir}.log', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    build_runner(Config({**config, 'work_dir': work_dir, 'resume': True, 'load_from': None})).train()


def _student(work_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(work_dir / 'student' / 'student.pth', weights_only=True)['state_dict']


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
