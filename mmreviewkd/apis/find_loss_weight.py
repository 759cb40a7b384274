"""Find the loss weight of a distillation by short trainings that are validated on held-out training images."""

import contextlib
import inspect
import json
import math
import multiprocessing.connection
import os
import signal
import statistics
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log
from rich.table import Table

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checkpoint import save_atomically
from mmreviewkd.utils.checks import number
from mmreviewkd.utils.config import type_name
from mmreviewkd.utils.config_code import config_text
from mmreviewkd.utils.errors import ConfigError, DivergenceError
from mmreviewkd.utils.files import check_writable

from .checks import TRAINING, VALIDATION, check_kinds, require_keys
from .held_out import hold_out
from .lower_is_better import is_lower_better
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
            diverged.
        seeds (Sequence[int]): The seeds.
        alone (Sequence[float or None], optional): The metric of the student alone, without any distillation. Defaults
            to None: that of the weight 0, which is the same where a config has no other loss of distillation.
        lower_is_better (bool, optional): Whether a lower metric is better. Defaults to None: as its name says.
    """

    key: str
    metric: str
    scores: Mapping[float, Sequence[float | None]]
    seeds: Sequence[int]
    alone: Sequence[float | None] | None = None
    lower_is_better: bool | None = None

    @property
    def best(self) -> float:
        """The weight with the best mean; the smallest one of several."""
        return max(sorted(self.scores), key=self.mean)

    @property
    def helps(self) -> bool:
        """Whether the best weight is better than the student alone."""
        return self.mean(self.best) > self._worth(self.alone or self.scores[0])

    def mean(self, weight: float) -> float:
        """The mean over the seeds, negative if a lower metric is better; minus infinity if a training diverged."""
        return self._worth(self.scores[weight])

    def _worth(self, scores: Sequence[float | None]) -> float:
        mean = _mean(scores)
        return float('-inf') if mean is None else -mean if self._lower else mean

    @property
    def _lower(self) -> bool:
        return is_lower_better(self.metric) if self.lower_is_better is None else self.lower_is_better

    def table(self) -> Table:
        """A table with one row a weight: each seed's metric, their mean, and its difference to the student alone."""
        title = f'{self.metric} on validation images'
        table = Table(title=f'{title}, lower is better' if self._lower else title)
        for column in (self.key, *(f'seed {seed}' for seed in self.seeds), 'mean', 'against alone', ''):
            table.add_column(column, justify='right')
        alone = self.alone or self.scores[0]
        rows = [(f'{weight:g}', self.scores[weight], weight == self.best) for weight in sorted(self.scores)]
        if self.alone:
            rows.insert(0, ('student alone', alone, False))
        else:
            rows[0] = '0 (alone)', *rows[0][1:]
        for name, scores, best in rows:
            mean, base = _mean(scores), _mean(alone)
            known = scores is not alone and None not in (mean, base)
            table.add_row(
                name, *(_DIVERGED if score is None else f'{score:.4g}' for score in scores),
                '' if mean is None else f'{mean:.4g}', f'{mean - base:+.4g}' if known else '', 'best' if best else '')
        return table


def _mean(scores: Sequence[float | None]) -> float | None:
    """The mean over the seeds, or None if a training diverged or its metric is not finite."""
    return None if any(score is None or not math.isfinite(score) for score in scores) else statistics.mean(scores)


def find_loss_weight(
        config: str,
        key: str | None = None,
        weights: Sequence[float] | None = None,
        seeds: Sequence[int] = (0, 1),
        length: float = 0.25,
        held_out: float = 0.1,
        own_validation: bool = False,
        metric: str | None = None,
        lower_is_better: bool | None = None,
        work_dir: str | None = None,
        cfg_options: dict | None = None) -> list[WeightSearch]:
    """Train with several loss weights and compare the students on images that none of them was trained on.

    Every weight is trained with every seed, each in a process of its own on one device, with the config's schedule
    shortened in proportion. Of a config with ``distill_loss`` and ``logit_loss``, the first one's weight is found with
    the second one as configured, then the second one's with the weight that was found. The student alone is always
    among the trainings. If the largest or the smallest weight is the best one, further ones are tried. Finished
    trainings are recorded in the work dir and not repeated; an interrupted one is resumed. Checkpoints of finished
    trainings are deleted.

    Args:
        config (str): The config of a distillation: a path, or ``'package::path/of/config.py'``.
        key (str, optional): The config key of the only weight to find. Defaults to None: those of ``distill_loss`` and
            ``logit_loss``.
        weights (Sequence[float], optional): The weights to try. Defaults to 0.1, 0.3, 1, 3 and 10 times the config's.
        seeds (Sequence[int]): The seeds. Defaults to (0, 1).
        length (float): The share of the config's schedule to train. Defaults to 0.25.
        held_out (float): The share of the training images to validate on. Defaults to 0.1.
        own_validation (bool): Train on all training images and validate on the config's ``val_dataloader`` instead,
            which must not be the test data. Defaults to False.
        metric (str, optional): The metric that chooses. Defaults to the first number that the evaluator reports.
        lower_is_better (bool, optional): Whether a lower metric is better. Defaults to None: as the ``rule`` of the
            config's ``CheckpointHook`` says if it saves the best checkpoint by this metric, else by the metric's name.
        work_dir (str, optional): The folder for the trainings. Defaults to ``work_dirs/CONFIG_NAME_loss_weight``.
        cfg_options (dict, optional): Settings that override the config's, by dotted keys.

    Returns:
        list[WeightSearch]: The scores by weight, for each weight that was to be found.

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
    losses = _weight_keys(cfg)
    configured = {name: _configured_weight(cfg, name) for name in [*losses, *([key] if key else [])]}
    grids = {name: _checked(weights, configured[name]) for name in ([key] if key else losses)}
    if not seeds:
        raise ConfigError('--seeds: at least one seed is needed')
    check_writable(str(work_dir), '--work-dir')
    trial_config = _write_trial_config(cfg, _share(length, '--length', 1), own_validation, held_out, work_dir)

    chosen = metric

    def scores_with(changed: Mapping[str, float]) -> list[float | None]:
        nonlocal chosen
        results = [_trial(trial_config, changed, seed, work_dir) for seed in seeds]
        chosen = chosen or next((name for result in results for name in result['metrics'] or ()), None)
        return [_score(result['metrics'], chosen) for result in results]

    found, alone = [], None
    changed = {name: configured[name] for name in grids}
    if len(losses) > 1 or losses != [*grids]:
        alone = scores_with({**changed, **dict.fromkeys(losses, 0.0)})
    for name, grid in grids.items():
        scores = {weight: scores_with({**changed, name: weight}) for weight in sorted({0.0, *grid})}
        lower = is_lower_better(chosen or '', cfg) if lower_is_better is None else lower_is_better
        search = WeightSearch(name, chosen, scores, seeds, alone, lower)
        for _ in range(_EXTENSIONS):
            *_, largest = tried = sorted(scores)
            best = search.best
            if best == 0 or best not in (tried[1], largest):
                break
            further = float(f'{best * _STEP if best == largest else best / _STEP:.3g}')
            scores[further] = scores_with({**changed, name: further})
        changed[name] = search.best
        found.append(search)
    _write_json(dict(
        metric=chosen, lower_is_better=lower, seeds=[*seeds], best=changed, alone=alone or found[0].scores[0],
        scores={search.key: {f'{weight:g}': values for weight, values in sorted(search.scores.items())}
                for search in found}), work_dir / 'loss_weight.json')
    return found


def _weight_keys(cfg: Config) -> list[str]:
    """The config keys of the weights of all distillation losses."""
    keys = [f'model.{part}.loss_weight' for part in ('distill_loss', 'logit_loss') if cfg.model.get(part)]
    if not keys:
        raise ConfigError('model has neither `distill_loss` nor `logit_loss`, whose weight could be found; give the '
                          'config of a distillation')
    return keys


def _configured_weight(cfg: Config, key: str) -> float:
    """The weight that the config or the loss's default gives."""
    path, _, last = key.rpartition('.')
    loss = cfg
    for part in filter(None, path.split('.')):
        loss = loss.get(part) if isinstance(loss, dict | Config) else None
    if not isinstance(loss, dict):
        raise ConfigError(f'--key: the config has no {path!r} for {key!r}')
    kind = loss.get('type', '')
    cls = MODELS.get(kind) if isinstance(kind, str) else kind
    parameter = inspect.signature(cls).parameters.get(last) if cls else None
    if last not in loss and parameter is None:
        raise ConfigError(f'--key: {path} ({loss.get("type")}) has no {last!r}')
    return loss.get(last, parameter and parameter.default)


def _checked(weights: Sequence[float] | None, configured: float) -> list[float]:
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
        cfg: Config, length: float, own_validation: bool, held_out: float, work_dir: Path) -> Path:
    """Write the config that all trainings share, or check that it is the one of the trainings that are there."""
    shorten(cfg, length)
    if own_validation:
        _refuse_test_data(cfg)
    else:
        hold_out(cfg, _share(held_out, '--held-out', 0.9), work_dir)
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    cfg.test_cfg = cfg.get('test_cfg') or dict()
    cfg.custom_hooks = [
        hook for hook in cfg.get('custom_hooks') or [] if type_name(hook['type']) != 'ExportStudentHook']
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint')
    if checkpoint:
        checkpoint.save_last = True  # which is tested
    cfg.pop('work_dir', None)
    file = work_dir / 'trial.py'
    text = f'# Every training of this search has this config, with other loss weights and randomness.seed.\n' \
        f'{config_text(cfg.to_dict())}'
    if file.exists() and file.read_text(encoding='utf-8') != text:
        raise ConfigError(f'--work-dir: {str(work_dir)!r} holds a search with another config, length or validation '
                          '(see its trial.py); choose another folder, or delete that one')
    save_atomically(lambda path: Path(path).write_text(text, encoding='utf-8'), file)
    return file


def _refuse_test_data(cfg: Config) -> None:
    def images(loader: str) -> dict:
        dataset = (cfg.get(loader) or {}).get('dataset') or {}
        return {name: value for name, value in dataset.items() if name != 'pipeline'}

    if images('val_dataloader') == images('test_dataloader'):
        raise ConfigError('--own-validation: val_dataloader reads the same images as test_dataloader, and test images '
                          'must not choose a weight; leave it out, and training images are held out instead')


def _trial(config: Path, weights: Mapping[str, float], seed: int, work_dir: Path) -> dict:
    """The recorded result of a training, which is run if there is none yet."""
    names = {key: key.removeprefix('model.').removesuffix('.loss_weight') for key in weights}
    folder = work_dir / '_'.join([*(f'{names[key]}_{weight:g}' for key, weight in weights.items()), f'seed_{seed}'])
    file, log = folder / 'result.json', folder / 'log.txt'
    result = _result(file)
    if result is None:
        start = log.stat().st_size if log.exists() else 0
        changes = ', '.join(f'{key}={weight:g}' for key, weight in weights.items())
        print_log(f'{changes}, seed {seed}: training, log in {log}')
        process = multiprocessing.get_context('spawn').Process(target=_run, args=(config, folder, weights, seed))
        process.start()
        process.join()
        result = _result(file)
        if result is None:
            written = log.read_bytes()[start:] if log.exists() else b''
            lines = written.decode(errors='replace').split('\n')
            last = next((line for line in reversed(lines) if line.strip()), f'exit code {process.exitcode}')
            raise ConfigError(f'the training with {changes} and seed {seed} failed, see {log}: {last}')
    return result


def _result(file: Path) -> dict | None:
    """The recorded result of a training; None if there is none, or none that can be read."""
    try:
        return json.loads(file.read_text(encoding='utf-8'))
    except (FileNotFoundError, ValueError):
        return None


def _run(config: Path, folder: Path, weights: Mapping[str, float], seed: int) -> None:
    """Train and test in this process; writes the result, or nothing if the training fails."""
    _end_with_the_search()
    folder.mkdir(parents=True, exist_ok=True)
    options = {**weights, 'randomness.seed': seed}
    with open(folder / 'log.txt', 'a', encoding='utf-8') as log, \
            contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            train(str(config), str(folder), resume=True, validate=False, cfg_options=options)
            checkpoint = (folder / 'last_checkpoint').read_text(encoding='utf-8').strip()
            metrics = _numbers(test(str(config), checkpoint, str(folder / 'test'), cfg_options=options))
        except DivergenceError:
            traceback.print_exc()
            metrics = None
        except BaseException:
            traceback.print_exc()
            raise SystemExit(1) from None
    _write_json(dict(weights=dict(weights), seed=seed, metrics=metrics), folder / 'result.json')
    for checkpoint in folder.glob('*.pth'):
        checkpoint.unlink()


def _end_with_the_search() -> None:
    """End this process as soon as the one that started it has ended, killed or not."""
    search = multiprocessing.parent_process()

    def wait() -> None:
        multiprocessing.connection.wait([search.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _numbers(metrics: Mapping) -> dict[str, float | None]:
    """The metrics that are single numbers; None where one is not finite."""
    found = {}
    for name, value in metrics.items():
        if not isinstance(value, str):
            with contextlib.suppress(TypeError, ValueError, RuntimeError):  # lists, dicts, and tensors of several
                found[name] = float(value) if math.isfinite(float(value)) else None
    if not found:
        raise ConfigError(
            f'val_evaluator: a weight is chosen by a single number, but the evaluator reports {", ".join(metrics)}, '
            'of which none is one')
    return found


def _score(metrics: dict | None, metric: str) -> float | None:
    if metrics is None:
        return None
    if metric not in metrics:
        raise ConfigError(f'--metric: the evaluator reports no number {metric!r}, but {", ".join(metrics)}')
    return metrics[metric]


def _write_json(content: dict, file: Path) -> None:
    save_atomically(lambda path: Path(path).write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8'), file)
