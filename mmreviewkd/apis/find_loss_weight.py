"""Find the loss weight of a distillation by short trainings that are validated on held-out training images."""

import contextlib
import inspect
import json
import multiprocessing
import statistics
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log
from rich.table import Table

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checkpoint import save_atomically
from mmreviewkd.utils.checks import number
from mmreviewkd.utils.errors import ConfigError, DivergenceError
from mmreviewkd.utils.files import check_writable

from .checks import TRAINING, VALIDATION, check_kinds, require_keys
from .held_out import hold_out
from .runner import read_config
from .shorten import shorten
from .test import test
from .train import train

_STEP = 3
_FACTORS = (0.1, 0.3, 1, 3, 10)
# How often the grid is extended where its last weight is the best one.
_EXTENSIONS = 3
_DIVERGED = 'diverged'


@dataclass(frozen=True)
class WeightSearch:
    """What the trainings of a search found.

    Args:
        key (str): The config key of the weight.
        metric (str): The metric that chooses.
        scores (Mapping[float, Sequence[float or None]]): By weight, the metric of each seed; None where the training
            diverged. The weight 0 is the student alone.
        seeds (Sequence[int]): The seeds.
    """

    key: str
    metric: str
    scores: Mapping[float, Sequence[float | None]]
    seeds: Sequence[int]

    @property
    def best(self) -> float:
        """The weight with the best mean; the smallest one of several."""
        return max(sorted(self.scores), key=self.mean)

    def mean(self, weight: float) -> float:
        """The mean over the seeds, negative if a lower metric is better; minus infinity if a training diverged."""
        scores = self.scores[weight]
        if None in scores:
            return float('-inf')
        return statistics.mean(scores) * (-1 if 'loss' in self.metric.lower() else 1)

    def table(self) -> Table:
        """A table with one row a weight: each seed's metric, their mean, and its difference to the student alone."""
        table = Table(title=f'{self.metric} on validation images')
        for column in (self.key, *(f'seed {seed}' for seed in self.seeds), 'mean', 'against alone', ''):
            table.add_column(column, justify='right')
        for weight in sorted(self.scores):
            scores = self.scores[weight]
            whole = None not in scores
            mean = statistics.mean(scores) if whole else None
            against = f'{mean - statistics.mean(self.scores[0]):+.4g}' \
                if weight and whole and None not in self.scores[0] else ''
            table.add_row(
                f'{weight:g}' if weight else '0 (alone)',
                *(_DIVERGED if score is None else f'{score:.4g}' for score in scores),
                f'{mean:.4g}' if whole else '', against, 'best' if weight == self.best else '')
        return table


def find_loss_weight(
        config: str,
        key: str | None = None,
        weights: Sequence[float] | None = None,
        seeds: Sequence[int] = (0, 1),
        length: float = 0.25,
        held_out: float = 0.1,
        own_validation: bool = False,
        metric: str | None = None,
        work_dir: str | None = None,
        cfg_options: dict | None = None) -> WeightSearch:
    """Train with several loss weights and compare the students on images that none of them was trained on.

    Every weight is trained with every seed, each in a process of its own on one device, with the config's schedule
    shortened in proportion. The weight 0, the student alone, is always among them. If the largest or the smallest
    weight is the best one, further ones are tried. Finished trainings are recorded in the work dir and not repeated;
    an interrupted one is resumed. Checkpoints of finished trainings are deleted.

    Args:
        config (str): The config of a distillation: a path, or ``'package::path/of/config.py'``.
        key (str, optional): The weight's config key. Defaults to that of ``distill_loss``, or of ``logit_loss`` if
            there is no other loss.
        weights (Sequence[float], optional): The weights to try. Defaults to 0.1, 0.3, 1, 3 and 10 times the config's.
        seeds (Sequence[int]): The seeds. Defaults to (0, 1).
        length (float): The share of the config's schedule to train. Defaults to 0.25.
        held_out (float): The share of the training images to validate on. Defaults to 0.1.
        own_validation (bool): Train on all training images and validate on the config's ``val_dataloader`` instead,
            which must not be the test data. Defaults to False.
        metric (str, optional): The metric that chooses. Defaults to the first that the evaluator reports.
        work_dir (str, optional): The folder for the trainings. Defaults to ``work_dirs/CONFIG_NAME_loss_weight``.
        cfg_options (dict, optional): Settings that override the config's, by dotted keys.

    Returns:
        WeightSearch: The scores by weight.

    Raises:
        ConfigError: If the config or an argument is invalid, the work dir has a search with other settings, or a
            training fails for another reason than that it diverged.
    """
    work_dir = Path(work_dir or f'work_dirs/{Path(config).stem}_loss_weight')
    cfg = read_config(config, str(work_dir), cfg_options)
    check_kinds(cfg)
    require_keys(cfg, ('model',))
    require_keys(cfg, TRAINING, 'needed to train')
    require_keys(cfg, VALIDATION, 'needed to compare the weights')
    if 'student' in cfg.model:
        cfg.model.setdefault('distill_loss', dict(type='HierarchicalContextLoss'))
    key = key or _weight_key(cfg)
    configured = _configured_weight(cfg, key)
    weights = sorted({0.0, *_checked(weights, configured)})
    if not seeds:
        raise ConfigError('--seeds: at least one seed is needed')
    check_writable(str(work_dir), '--work-dir')
    trial_config = _write_trial_config(cfg, key, _share(length, '--length', 1), own_validation, held_out, work_dir)

    scores = {}

    def found() -> WeightSearch:
        return WeightSearch(key, chosen, scores, seeds)

    def try_weight(weight: float) -> None:
        nonlocal chosen
        results = [_trial(trial_config, key, weight, seed, work_dir) for seed in seeds]
        chosen = chosen or next((name for result in results for name in result['metrics'] or ()), None)
        scores[weight] = [_score(result['metrics'], chosen) for result in results]

    chosen = metric
    for weight in weights:
        try_weight(weight)
    for _ in range(_EXTENSIONS):
        *_, largest = tried = sorted(scores)
        best = found().best
        if best == 0 or best not in (tried[1], largest):
            break
        try_weight(float(f'{best * _STEP if best == largest else best / _STEP:.3g}'))
    _write_json(dict(key=key, metric=chosen, best=found().best, seeds=[*seeds], scores={
        f'{weight:g}': values for weight, values in sorted(scores.items())}), work_dir / 'loss_weight.json')
    return found()


def _weight_key(cfg: Config) -> str:
    for part in ('distill_loss', 'logit_loss'):
        if cfg.model.get(part):
            return f'model.{part}.loss_weight'
    raise ConfigError('model has neither `distill_loss` nor `logit_loss`, whose weight could be found; give the config '
                      'of a distillation, or the weight by --key')


def _configured_weight(cfg: Config, key: str) -> float:
    """The weight that the config or the loss's default gives."""
    path, _, last = key.rpartition('.')
    loss = cfg
    for part in filter(None, path.split('.')):
        loss = loss.get(part) if isinstance(loss, dict | Config) else None
    if not isinstance(loss, dict):
        raise ConfigError(f'--key: the config has no {path!r} for {key!r}')
    cls = MODELS.get(loss.get('type', ''))
    parameter = inspect.signature(cls).parameters.get(last) if cls else None
    if last not in loss and parameter is None:
        raise ConfigError(f'--key: {path} ({loss.get("type")}) has no {last!r}')
    return loss.get(last, parameter and parameter.default)


def _checked(weights: Sequence[float] | None, configured: float) -> Iterable[float]:
    if weights is None:
        number(configured, 'the loss weight of the config', above=0)
        return [float(f'{configured * factor:.3g}') for factor in _FACTORS]
    return [float(number(weight, '--weights', at_least=0)) for weight in weights]


def _share(value: float, where: str, most: float) -> float:
    number(value, where, above=0)
    if value > most:
        raise ConfigError(f'{where} must be at most {most:g}, but is {value:g}')
    return value


def _write_trial_config(
        cfg: Config, key: str, length: float, own_validation: bool, held_out: float, work_dir: Path) -> Path:
    """Write the config that all trainings share, or check that it is the one of the trainings that are there."""
    shorten(cfg, length)
    if own_validation:
        _refuse_test_data(cfg)
    else:
        hold_out(cfg, _share(held_out, '--held-out', 0.9), work_dir)
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    cfg.test_cfg = cfg.get('test_cfg') or dict()
    cfg.custom_hooks = [hook for hook in cfg.get('custom_hooks') or [] if 'ExportStudentHook' not in str(hook['type'])]
    cfg.pop('work_dir', None)
    file = work_dir / 'trial.py'
    text = f'# Every training of this search has this config, another {key} and another randomness.seed.\n' \
        f'{cfg.pretty_text}'
    if file.exists() and file.read_text() != text:
        raise ConfigError(f'--work-dir: {str(work_dir)!r} holds a search with another config, length or validation '
                          '(see its trial.py); choose another folder, or delete that one')
    save_atomically(lambda path: Path(path).write_text(text), file)
    return file


def _refuse_test_data(cfg: Config) -> None:
    def images(loader: str) -> dict:
        dataset = (cfg.get(loader) or {}).get('dataset') or {}
        return {name: value for name, value in dataset.items() if name != 'pipeline'}

    if images('val_dataloader') == images('test_dataloader'):
        raise ConfigError('--own-validation: val_dataloader reads the same images as test_dataloader, and test images '
                          'must not choose a weight; leave it out, and training images are held out instead')


def _trial(config: Path, key: str, weight: float, seed: int, work_dir: Path) -> dict:
    """The recorded result of a training, which is run if there is none yet."""
    folder = work_dir / f'weight_{weight:g}_seed_{seed}'
    file = folder / 'result.json'
    if not file.exists():
        print_log(f'{key}={weight:g}, seed {seed}: training, log in {folder / "log.txt"}')
        process = multiprocessing.get_context('spawn').Process(target=_run, args=(config, folder, key, weight, seed))
        process.start()
        process.join()
        if not file.exists():
            log = folder / 'log.txt'
            lines = log.read_text().split('\n') if log.exists() else []
            last = next((line for line in reversed(lines) if line.strip()), f'exit code {process.exitcode}')
            raise ConfigError(f'the training with {key}={weight:g} and seed {seed} failed, see {log}: {last}')
    return json.loads(file.read_text())


def _run(config: Path, folder: Path, key: str, weight: float, seed: int) -> None:
    """Train and test in this process; writes the result, or nothing if the training fails."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {key: weight, 'randomness.seed': seed}
    with open(folder / 'log.txt', 'a') as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            train(str(config), str(folder), resume=True, validate=False, cfg_options=options)
            checkpoint = (folder / 'last_checkpoint').read_text().strip()
            metrics = test(str(config), checkpoint, str(folder / 'test'), cfg_options=options)
        except DivergenceError:
            traceback.print_exc()
            metrics = None
        except BaseException:
            traceback.print_exc()
            raise SystemExit(1) from None
    _write_json(dict(weight=weight, seed=seed, metrics=metrics), folder / 'result.json')
    for checkpoint in folder.glob('*.pth'):
        checkpoint.unlink()


def _score(metrics: dict | None, metric: str) -> float | None:
    if metrics is None:
        return None
    if metric not in metrics:
        raise ConfigError(f'--metric: the evaluator reports no {metric!r}, but {", ".join(metrics)}')
    return metrics[metric]


def _write_json(content: dict, file: Path) -> None:
    save_atomically(lambda path: Path(path).write_text(json.dumps(content, indent=1) + '\n'), file)
