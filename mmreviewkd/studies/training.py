"""One training of a study: run it in a separate process or in this one, test it, and record its result."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.registry import DefaultScope

from mmreviewkd.apis import train
from mmreviewkd.models.build import build_model
from mmreviewkd.utils.config import load_config, model_config
from mmreviewkd.utils.errors import ConfigError, DivergenceError
from mmreviewkd.utils.progress import progress
from mmreviewkd.utils.random import preserved_random_state

from .curves import training_curve
from .output import write_json
from .without_plugin import command_to_test_student

_SECONDS_BETWEEN_LOOKS = 1.0
_END_OF_LOG = 4096  # bytes
# Reading configs and building models use global state of MMEngine, such as the default scope.
_building = threading.Lock()
_running: set[subprocess.Popen] = set()
_TIME_LEFT = re.compile(r'eta: (?:(\d+) days?, )?(\d+):(\d\d):(\d\d)')


@dataclass(frozen=True)
class Training:
    """A training, the export of its student and its test.

    Args:
        name (str): Its name in tables and figures.
        config (str): The path of its config file.
        work_dir (Path): The folder for its logs, checkpoints and result.
        options (Mapping): Settings that override the config's, by dotted keys.
        threads (int, optional): Threads that its processes compute with; None for torch's default. Defaults to None.
    """

    name: str
    config: str
    work_dir: Path
    options: Mapping = field(default_factory=dict)
    threads: int | None = None

    @property
    def result_file(self) -> Path:
        """The file of the result, which exists once training, export and test have finished."""
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
        return Path(pointer.read_text(encoding='utf-8').strip())

    def run(self, trained: Callable[[], None] | None = None) -> dict:
        """Train, export and test, or return the recorded result; an interrupted training is resumed.

        Args:
            trained (Callable, optional): Called before the test, once the last checkpoint is there. Defaults to None.

        Returns:
            dict: ``metrics`` by the evaluator's names, ``parameters``, ``flops`` of one image, ``train_minutes`` and
            ``curve`` (see :func:`~mmreviewkd.studies.curves.training_curve`), and ``wall_seconds`` and
            ``cpu_seconds`` since the last start. Trainings may run in threads of one process at the same time.

        Raises:
            ConfigError: If a tool fails; the message names its log.
        """
        trained = trained or (lambda: None)
        if self.result_file.exists():
            trained()
            return json.loads(self.result_file.read_text(encoding='utf-8'))
        print(f'{self.name}: training, log in {self.work_dir / "train.log"}', flush=True)
        started = time.monotonic()
        metrics, cpu_seconds = self._train_and_test(trained)
        with _building:
            size = complexity(self.config)
        result = dict(
            name=self.name, config=self.config, options={key: str(value) for key, value in self.options.items()},
            metrics=metrics, **size, **training_curve(self.work_dir),
            wall_seconds=time.monotonic() - started, cpu_seconds=cpu_seconds)
        write_json(result, self.result_file)
        return result

    def _train_and_test(self, trained: Callable[[], None]) -> tuple[dict, float]:
        """The metrics, and the CPU time of all processes in seconds."""
        seconds = _run_python(
            [_tools() / 'train.py', self.config, '--work-dir', self.work_dir, '--resume', *self._cfg_options()],
            self.work_dir / 'train.log', self.name, self.threads)
        trained()
        metrics, more = self._test()
        return metrics, seconds + more

    def _test(self) -> tuple[dict, float]:
        student = self.work_dir / 'student' / 'student.py'
        test_dir = self.work_dir / 'test'
        if student.exists():
            with _building:
                scope = load_config(self.config, 'config').default_scope
            command = command_to_test_student(scope, student, '--work-dir', test_dir)
        else:
            command = [
                _tools() / 'test.py', self.config, self.checkpoint, '--work-dir', test_dir, *self._cfg_options()]
        seconds = _run_python(command, self.work_dir / 'test.log', f'{self.name}, test', self.threads)
        return json.loads(max(test_dir.glob('*/*.json')).read_text(encoding='utf-8').splitlines()[-1]), seconds

    def _cfg_options(self) -> list[str]:
        return ['--cfg-options', *(f'{key}={value}' for key, value in self.options.items())] if self.options else []


class ShortTraining(Training):
    """A training that is shorter than starting a process, and runs in this process.

    Its metrics are those of its last validation, none if it diverged. It writes no checkpoint, so it restarts after an
    interruption.
    """

    def _train_and_test(self, trained: Callable[[], None]) -> tuple[dict, float]:
        cpu = _cpu_seconds()
        shutil.rmtree(self.work_dir, ignore_errors=True)
        self.work_dir.mkdir(parents=True)
        with open(self.work_dir / 'train.log', 'w', encoding='utf-8') as log, \
                contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            try:
                train(self.config, str(self.work_dir), cfg_options=dict(self.options))
            except DivergenceError:
                traceback.print_exc()
                return {}, _cpu_seconds() - cpu
            except Exception as error:
                traceback.print_exc()
                raise ConfigError(
                    f'{self.name!r} failed, see {log.name}: {type(error).__name__}: {error}') from error
        trained()
        validation = training_curve(self.work_dir)['curve']['validation']
        if not validation:
            raise ConfigError(f'{self.config}: {self.name!r} ended without a validation, see train_cfg.val_interval')
        return {key: values[-1][1] for key, values in validation.items()}, _cpu_seconds() - cpu


def complexity(config: str) -> dict[str, int]:
    """Count the parameters of a config's model (for a distiller, of the student) and its FLOPs for one test image.

    Args:
        config (str): A config file with the test images' ``input_shape``; ``(3, 224, 224)`` without one.

    Returns:
        dict[str, int]: ``parameters``, and ``flops`` in multiply-adds, of a detector up to its neck.
    """
    cfg = load_config(config, 'config')
    model = cfg.model.student.model if 'student' in cfg.model else cfg.model
    with preserved_random_state(), DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        network = build_model(model_config(model, 'model'), 'model').eval()
        if hasattr(network, 'with_neck') and cfg.default_scope == 'mmdet':
            network.forward = network.extract_feat
        image = torch.zeros(1, *cfg.get('input_shape', (3, 224, 224)))
        flops = FlopAnalyzer(network, image).unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
    return dict(parameters=sum(p.numel() for p in network.parameters()), flops=int(flops))


def share_done(log: Path, start: int, seconds: float) -> float:
    """The share of a training or test that is done, from the time left that its log names last; 0 if it names none yet.

    Args:
        log (Path): The log, as MMEngine's ``LoggerHook`` writes it.
        start (int): Where in the log this run begins, in bytes.
        seconds (float): How long it has run.
    """
    with open(log, 'rb') as file:
        file.seek(max(start, file.seek(0, os.SEEK_END) - _END_OF_LOG))
        found = _TIME_LEFT.findall(file.read().decode(errors='replace'))
    if not found:
        return 0.0
    days, hours, minutes, rest = (int(group or 0) for group in found[-1])
    left = ((24 * days + hours) * 60 + minutes) * 60 + rest
    return seconds / (seconds + left) if seconds else 0.0


def _cpu_seconds() -> float:
    """CPU time of this process and of its finished child processes."""
    return sum(os.times()[:4])


def _tools() -> Path:
    """Return the folder of the tools: that of a checkout, or the one installed with the package."""
    package = Path(__file__).parent.parent
    return next(folder for folder in (package.parent / 'tools', package / '.mim' / 'tools') if folder.is_dir())


def stop_trainings() -> None:
    """Kill the trainings that threads of this process are running; their next run resumes them."""
    for process in list(_running):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)  # Popen.kill could take its exit status from the thread that waits


def _run_python(command: Sequence, log: Path, what: str, threads: int | None) -> float:
    """Run a Python tool and return its CPU time in seconds, that of its own child processes included."""
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **({'OMP_NUM_THREADS': str(threads)} if threads else {})}
    begin = time.monotonic()
    with open(log, 'a', encoding='utf-8') as file, progress(what) as done:
        start = file.tell()
        process = subprocess.Popen(
            [sys.executable, *map(str, command)], stdout=file, stderr=subprocess.STDOUT, env=environment)
        _running.add(process)
        try:
            while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
                done(share_done(log, start, time.monotonic() - begin))
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            _running.discard(process)
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)  # so that Popen does not wait for it again
    if process.returncode:
        last = (log.read_text(encoding='utf-8', errors='replace').strip().splitlines() or ['no output'])[-1]
        tool = next(str(part) for part in command if str(part).endswith('.py'))
        raise ConfigError(f'{tool} ended with exit code {process.returncode}, see {log}: {last}')
    return usage.ru_utime + usage.ru_stime
