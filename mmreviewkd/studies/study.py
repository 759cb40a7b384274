"""Several trainings that belong together: done once, picked up where they stopped, and compared."""

import contextlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.registry import DefaultScope

from mmreviewkd.models.build import build_model
from mmreviewkd.utils.checkpoint import save_atomically
from mmreviewkd.utils.config import load_config, model_config
from mmreviewkd.utils.errors import ConfigError
from mmreviewkd.utils.random import preserved_random_state

# mmpretrain's or mmdet's own test tool, in a Python that cannot import this package.
_WITHOUT_PLUGIN = (
    'import runpy, sys; sys.modules["mmreviewkd"] = None; sys.argv = sys.argv[1:]; '
    'runpy.run_path(sys.argv[0], run_name="__main__")')


@dataclass(frozen=True)
class Training:
    """One training of a study.

    Args:
        name (str): What it is called in the tables.
        config (str): Its config file.
        work_dir (Path): Where its logs, checkpoints and result go.
        options (Mapping): Settings that replace the config's, by dotted keys.
    """

    name: str
    config: str
    work_dir: Path
    options: Mapping = field(default_factory=dict)

    @property
    def result_file(self) -> Path:
        """Written when all is done."""
        return self.work_dir / 'result.json'

    @property
    def checkpoint(self) -> Path:
        """The latest checkpoint.

        Raises:
            ConfigError: If there is none.
        """
        pointer = self.work_dir / 'last_checkpoint'
        if not pointer.exists():
            raise ConfigError(f'{self.work_dir} holds no checkpoint yet')
        return Path(pointer.read_text().strip())

    def run(self) -> dict:
        """Train, export and test, unless that was done before; an interrupted training goes on.

        Returns:
            dict: The metrics (the key of each as the evaluator gives it), ``parameters``, ``flops`` of one image,
            ``train_minutes`` and ``curve``; ``wall_seconds`` and ``cpu_seconds`` of all of it, since it was last
            begun.

        Raises:
            ConfigError: If a tool fails; the message names its log.
        """
        if self.result_file.exists():
            return json.loads(self.result_file.read_text())
        print(f'{self.name}: training, log in {self.work_dir / "train.log"}', flush=True)
        begun, cpu = time.monotonic(), _cpu_seconds()
        metrics = self._train_and_test()
        result = dict(
            name=self.name, config=self.config, options={key: str(value) for key, value in self.options.items()},
            metrics=metrics, **_complexity(self.config), **_history(self.work_dir),
            wall_seconds=time.monotonic() - begun, cpu_seconds=_cpu_seconds() - cpu)
        save_atomically(lambda path: Path(path).write_text(json.dumps(result, indent=1)), self.result_file)
        return result

    def _train_and_test(self) -> dict:
        _run_tool(
            [_tools() / 'train.py', self.config, '--work-dir', self.work_dir, '--resume', *self._cfg_options()],
            self.work_dir / 'train.log')
        return self._test()

    def _test(self) -> dict:
        student = self.work_dir / 'student' / 'student.py'
        test_dir = self.work_dir / 'test'
        if student.exists():
            package = importlib.import_module(load_config(self.config, 'config').default_scope)
            tool = Path(package.__file__).parent / '.mim' / 'tools' / 'test.py'
            command = ['-c', _WITHOUT_PLUGIN, tool, student, student.with_suffix('.pth'), '--work-dir', test_dir]
        else:
            command = [
                _tools() / 'test.py', self.config, self.checkpoint, '--work-dir', test_dir, *self._cfg_options()]
        _run_tool(command, self.work_dir / 'test.log')
        return json.loads(max(test_dir.glob('*/*.json')).read_text().splitlines()[-1])

    def _cfg_options(self) -> list[str]:
        return ['--cfg-options', *(f'{key}={value}' for key, value in self.options.items())] if self.options else []


class ShortTraining(Training):
    """One of many trainings that are each shorter than starting a process: done in this one, from start to end.

    Its metrics are those of its last validation. It keeps no checkpoint, so an interrupted one begins anew.
    """

    def _train_and_test(self) -> dict:
        from mmreviewkd.apis import train
        shutil.rmtree(self.work_dir, ignore_errors=True)
        self.work_dir.mkdir(parents=True)
        with open(self.work_dir / 'train.log', 'w') as log, \
                contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            try:
                train(self.config, str(self.work_dir), cfg_options=dict(self.options))
            except Exception as error:
                traceback.print_exc()
                raise ConfigError(
                    f'{self.name!r} failed, see {log.name}: {type(error).__name__}: {error}') from error
        validation = _history(self.work_dir)['curve']['validation']
        if not validation:
            raise ConfigError(f'{self.config}: {self.name!r} ended without a validation, see train_cfg.val_interval')
        return {key: values[-1][1] for key, values in validation.items()}


def write_results(results: Sequence[dict], file: Path) -> None:
    """Write the results of a study, whole or not at all."""
    save_atomically(lambda path: Path(path).write_text(json.dumps(list(results), indent=1)), file)


def plot_curves(results: Sequence[dict], metric: str, file: Path) -> None:
    """Draw what several trainings lost and won.

    Args:
        results (Sequence[dict]): As :meth:`Training.run` gives them.
        metric (str): The validation metric to draw.
        file (Path): The picture's file.
    """
    import matplotlib
    matplotlib.use('agg')
    from matplotlib import pyplot
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout='constrained')
    for result in results:
        curve = result['curve']
        left.plot(curve['iteration'], curve['loss'], label=result['name'])
        right.plot(*zip(*curve['validation'].get(metric, [(0, 0)])), marker='o', label=result['name'])
    left.set(xlabel='iteration', ylabel='loss of the task', yscale='log')
    right.set(xlabel='epoch', ylabel=metric)
    left.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    save_atomically(lambda path: figure.savefig(path, dpi=120), file)
    pyplot.close(figure)


def _cpu_seconds() -> float:
    """What this process and those that it has waited for have spent."""
    return sum(os.times()[:4])


def _tools() -> Path:
    """The tools of a checkout, or those that were installed with the package."""
    package = Path(__file__).parent.parent
    return next(folder for folder in (package.parent / 'tools', package / '.mim' / 'tools') if folder.is_dir())


def _run_tool(command: Sequence, log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, 'a') as file:
        done = subprocess.run([sys.executable, *map(str, command)], stdout=file, stderr=subprocess.STDOUT)
    if done.returncode:
        last = (log.read_text().strip().splitlines() or ['no output'])[-1]
        raise ConfigError(f'{command[0]} ended with {done.returncode}, see {log}: {last}')


def _complexity(config: str) -> dict:
    """Parameters of a config's (student) model, and multiply-adds for one test image; a detector's up to its neck."""
    cfg = load_config(config, 'config')
    model = cfg.model.student.model if 'student' in cfg.model else cfg.model
    with preserved_random_state(), DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        network = build_model(model_config(model, 'model'), 'model').eval()
        if hasattr(network, 'with_neck') and cfg.default_scope == 'mmdet':
            network.forward = network.extract_feat
        image = torch.zeros(1, *cfg.get('input_shape', (3, 224, 224)))
        flops = FlopAnalyzer(network, image).unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
    return dict(parameters=sum(p.numel() for p in network.parameters()), flops=int(flops))


def _history(work_dir: Path) -> dict:
    """What a run logged, across its interruptions: the later line of a step counts."""
    lines, validation = {}, {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in map(json.loads, file.read_text().splitlines()):
            if 'loss' in line:
                lines[line['step']] = line
            else:
                validation[line['step']] = line
    steps = sorted(lines)
    metrics = sorted({key for line in validation.values() for key in line} - {'step', 'time', 'data_time'})
    own = [
        sum(value for key, value in lines[step].items()
            if 'loss' in key and key not in ('loss', 'loss_distill', 'loss_logit')) or lines[step]['loss']
        for step in steps]
    minutes = sum((b - a) * lines[b]['time'] for a, b in zip([0, *steps], steps)) / 60
    return dict(
        train_minutes=minutes,
        curve=dict(
            iteration=steps, loss=own,
            validation={key: [(step, validation[step][key]) for step in sorted(validation) if key in validation[step]]
                        for key in metrics}))

