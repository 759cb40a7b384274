"""Plan and run many short distillations that differ in one setting, and collect their results."""

import hashlib
import importlib
import itertools
import json
import multiprocessing
import platform
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mmengine
import torch

from mmreviewkd.studies.training import ShortTraining, Training
from mmreviewkd.utils.errors import ConfigError, did_you_mean
from mmreviewkd.utils.progress import tracked
from mmreviewkd.version import __version__

# Imported once in the fork server, as every training needs them.
_PRELOADED = ['mmpretrain.models', 'mmpretrain.datasets', 'mmpretrain.evaluation', 'mmreviewkd.models',
              'mmreviewkd.engine', 'mmreviewkd.studies.ablation.study']


@dataclass(frozen=True)
class Metric:
    """The metric that a study compares, higher is better.

    Args:
        key (str): The evaluator's name.
        name (str): Its name in tables, with its unit.
        scale (float): Factor from the evaluator's unit to that of the tables. Defaults to 1.0.
    """

    key: str
    name: str
    scale: float = 1.0

    def of(self, result: Mapping) -> float | None:
        """The score of a training, from its result; None if it diverged."""
        return self.scale * result['metrics'][self.key] if result['metrics'] else None


TOP1 = Metric('accuracy/top1', 'top-1 (%)')


@dataclass(frozen=True)
class Variant:
    """A setting in which the student is trained.

    Args:
        name (str): Its unique name.
        config (str): The path of its config file.
        options (Mapping): Settings that override the config's, by dotted keys.
        teacher (str, optional): The config file of its teacher. None for a student alone.
        weights (Mapping[str, Sequence[float]]): Candidate loss weights, by dotted key.
        weights_of (Sequence[str]): Variants whose selected loss weights this variant takes over.
    """

    name: str
    config: str
    options: Mapping = field(default_factory=dict)
    teacher: str | None = None
    weights: Mapping[str, Sequence[float]] = field(default_factory=dict)
    weights_of: Sequence[str] = ()


@dataclass(frozen=True)
class Ablation:
    """Variants of a distillation, each trained with several seeds.

    Loss weights are selected first, with separate seeds, on validation images that are used neither for training nor
    for testing. Variants with equal settings share their trainings.

    Args:
        out (Path): The folder for all trainings.
        variants (Sequence[Variant]): The variants.
        seeds (Sequence[int]): Seeds of the reported trainings.
        tuning_seeds (Sequence[int]): Seeds of the trainings that select loss weights.
        tuning_options (Mapping): Settings that replace the test images by validation images.
        metric (Metric): What is compared. Defaults to top-1 accuracy.

    Raises:
        ConfigError: If two variants share a name, ``weights_of`` names an unknown variant, or a tuning seed is
            reported.
    """

    out: Path
    variants: Sequence[Variant]
    seeds: Sequence[int]
    tuning_seeds: Sequence[int]
    tuning_options: Mapping
    metric: Metric = TOP1

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        for variant in self.variants:
            if names.count(variant.name) > 1:
                raise ConfigError(f'two variants are named {variant.name!r}')
            for other in variant.weights_of:
                if other not in names:
                    raise ConfigError(f'weights_of of {variant.name!r} names {other!r}; {did_you_mean(other, names)}')
        if set(self.tuning_seeds) & set(self.seeds):
            raise ConfigError(f'the seeds {list(self.tuning_seeds)} select loss weights, so they cannot be reported, '
                              f'but seeds={list(self.seeds)}')

    def run(self, workers: int = 1, done: Callable[[dict], None] | None = None) -> dict:
        """Run all trainings that have no result yet.

        Args:
            workers (int): Number of trainings that run at the same time. Defaults to 1.
            done (Callable, optional): Called with the :meth:`results` so far after each training. Defaults to None.

        Returns:
            dict: The :meth:`results`.

        Raises:
            ConfigError: If a training fails; the message names its log.
        """
        for plan in (self.teachers().values, self.tunings, self.reported):
            trainings = [training for training in plan() if not training.result_file.exists()]
            for _ in tracked(_run_all(trainings, workers), f'{len(trainings)} trainings', len(trainings)):
                if done:
                    done(self.results())
        return self.results()

    def teachers(self) -> dict[str, Training]:
        """The trainings of the teachers, by config."""
        configs = dict.fromkeys(variant.teacher for variant in self.variants if variant.teacher)
        return {config: Training(f'teacher {config}', config,
                                 self.out / 'teachers' / '_'.join(Path(config).with_suffix('').parts[-2:]))
                for config in configs}

    def tunings(self) -> list[Training]:
        """The trainings that select loss weights."""
        return [self._tuning(variant, weights, seed)
                for seed in self.tuning_seeds for variant in self.variants for weights in _choices(variant)]

    def reported(self) -> list[Training]:
        """The reported trainings, each once, ordered by seed and then by variant.

        Raises:
            ConfigError: If a loss weight has not been selected yet.
        """
        trainings = {}
        weights = {variant.name: self.weights(variant) for variant in self.variants}
        for seed in self.seeds:
            for variant in self.variants:
                training = self._training(variant, 'runs', weights[variant.name], seed)
                trainings.setdefault(training.work_dir, training)
        return list(trainings.values())

    def weights(self, variant: Variant) -> dict[str, float]:
        """The loss weights selected for a variant, by dotted key: those of the best mean validation score.

        A weight with which a training diverged is not selected, unless there is no other.

        Raises:
            ConfigError: If a training that selects them has no result yet.
        """
        chosen = {}
        for name in variant.weights_of:
            chosen |= self.weights(next(other for other in self.variants if other.name == name))
        return chosen | max(_choices(variant), key=lambda weights: self._tuned(variant, weights), default={})

    def results(self) -> dict:
        """Scores, costs and settings of all finished trainings, and library versions, as JSON-compatible data."""
        teachers = [
            dict(config=config, score=self.metric.of(found), parameters=found['parameters'], flops=found['flops'],
                 **_cost(found))
            for config, training in self.teachers().items() if (found := _found(training))]
        tunings = [
            dict(variant=variant.name, weights=weights, seed=seed, score=self.metric.of(found), **_cost(found))
            for variant in self.variants for weights in _choices(variant) for seed in self.tuning_seeds
            if (found := _found(self._tuning(variant, weights, seed)))]
        complete = len(tunings) == len(self.tunings())
        variants, runs = {}, {}
        for variant in self.variants if complete else ():
            weights = self.weights(variant)
            trainings = {seed: self._training(variant, 'runs', weights, seed) for seed in self.seeds}
            done = {seed: found for seed, training in trainings.items() if (found := _found(training))}
            variants[variant.name] = dict(
                config=variant.config, options=_plain(variant.options), teacher=variant.teacher, weights=weights,
                score={str(seed): self.metric.of(found) for seed, found in done.items()})
            runs |= {trainings[seed].work_dir: found for seed, found in done.items()}
        costs = [*teachers, *tunings, *map(_cost, runs.values())]
        return dict(
            versions=dict(
                mmreviewkd=__version__, torch=torch.__version__, mmengine=mmengine.__version__,
                mmpretrain=_version('mmpretrain'), python=platform.python_version()),
            metric=self.metric.name,
            seeds=list(self.seeds), tuning_seeds=list(self.tuning_seeds), tuning_options=_plain(self.tuning_options),
            trainings=len(costs), cpu_minutes=sum(cost['cpu_seconds'] for cost in costs) / 60,
            wall_minutes=sum(cost['wall_seconds'] for cost in costs) / 60,
            teachers=teachers, tunings=tunings, variants=variants)

    def _tuned(self, variant: Variant, weights: Mapping[str, float]) -> float:
        trainings = [self._tuning(variant, weights, seed) for seed in self.tuning_seeds]
        found = list(map(_found, trainings))
        if None in found:
            raise ConfigError(f'the loss weight of {variant.name!r} is not selected yet: '
                              f'{trainings[found.index(None)].work_dir} has no result')
        scores = list(map(self.metric.of, found))
        return float('-inf') if None in scores else statistics.mean(scores)

    def _tuning(self, variant: Variant, weights: Mapping[str, float], seed: int) -> Training:
        return self._training(variant, 'tuning', {**weights, **self.tuning_options}, seed)

    def _training(self, variant: Variant, folder: str, settings: Mapping, seed: int) -> Training:
        options = {**variant.options, **settings, 'randomness.seed': seed}
        if variant.teacher:
            options['model.teacher.model'] = variant.teacher
        # Equal settings give equal keys, whatever the variant's name.
        key = json.dumps([variant.config, _plain(options)], sort_keys=True)
        work_dir = self.out / folder / f'{Path(variant.config).stem}-{hashlib.sha256(key.encode()).hexdigest()[:12]}'
        if variant.teacher and (teacher := self.teachers()[variant.teacher]).result_file.exists():
            options['model.teacher.checkpoint'] = str(teacher.checkpoint)
        return ShortTraining(f'{variant.name}, seed {seed}', variant.config, work_dir, options)


def _choices(variant: Variant) -> list[dict[str, float]]:
    """All combinations of a variant's candidate loss weights; empty if it has none."""
    combinations = itertools.product(*variant.weights.values())
    return [dict(zip(variant.weights, values)) for values in combinations] if variant.weights else []


def _run_all(trainings: Sequence[Training], workers: int) -> Iterator[dict]:
    """Run trainings, each in a process forked after all imports; yield each result as it finishes."""
    if not trainings:
        return
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(_PRELOADED)
    with context.Pool(workers, maxtasksperchild=1) as pool:
        yield from pool.imap_unordered(_run, trainings)


def _run(training: Training) -> dict:
    torch.set_num_threads(1)
    return training.run()


def _found(training: Training) -> dict | None:
    return json.loads(training.result_file.read_text(encoding='utf-8')) if training.result_file.exists() else None


def _cost(result: Mapping) -> dict[str, float]:
    return {key: round(result[key], 2) for key in ('cpu_seconds', 'wall_seconds')}


def _plain(options: Mapping) -> dict:
    """Settings converted to JSON types."""
    return json.loads(json.dumps(dict(options)))


def _version(package: str) -> str:
    return importlib.import_module(package).__version__
