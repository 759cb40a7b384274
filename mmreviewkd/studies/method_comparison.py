"""The methods of the demo on Fashion-MNIST, each at its own best loss weight, with few images and with all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .ablation.study import Ablation, Variant
from .ablation.tables import tuning_table, variants_table
from .ablation.variants import LOGIT_WEIGHT, WEIGHT
from .output import fill_marks, write_json

CONFIGS = 'configs/fashion_mnist'
ALONE = 'student alone'
# The reported trainings are tested on the test images, those that choose a weight on the validation images.
TEST = {
    'val_dataloader.dataset.split': 'test', 'val_dataloader.dataset.test_mode': True,
    'val_dataloader.dataset.indices': None}
VALIDATION = {
    'val_dataloader.dataset.split': 'train', 'val_dataloader.dataset.test_mode': False,
    'val_dataloader.dataset.indices': -10000}
# Name, config and candidate loss weights.
SINGLE = [
    ('Knowledge Review', 'resnet8_review-resnet14', {WEIGHT: (1.0, 3.0, 10.0, 30.0)}),
    ('logit KD', 'resnet8_kd-resnet14', {LOGIT_WEIGHT: (0.3, 1.0, 3.0)}),
    ('DKD', 'resnet8_dkd-resnet14', {LOGIT_WEIGHT: (0.1, 0.3, 1.0)}),
    ('same-level L2', 'resnet8_l2-resnet14', {WEIGHT: (3.0, 10.0, 30.0)}),
    ('PKD', 'resnet8_pkd-resnet14', {WEIGHT: (1.0, 3.0, 10.0)}),
]
JOINED = {'logit KD': 'LogitDistillationLoss', 'DKD': 'DecoupledLogitLoss'}


@dataclass(frozen=True)
class Setting:
    """Data and schedule that the methods are compared with.

    Args:
        teacher (str): The config file of the teacher.
        seeds (Sequence[int]): Seeds of the reported trainings.
        tuning_seeds (Sequence[int]): Seeds of the trainings that choose loss weights.
        options (Mapping): Settings of all students, by dotted keys.
        distilled (Mapping): Settings of the distilled students alone, by dotted keys.
        tuning_options (Mapping): Settings of the trainings that choose loss weights.
        weights (Mapping[str, Sequence[float]]): Candidate loss weights, by method, in place of those in ``SINGLE``.
        without (Sequence[str]): Methods that are not compared.
        doubled (Mapping): Settings that double the schedule; a student alone is trained with them, too.
    """

    teacher: str
    seeds: Sequence[int]
    tuning_seeds: Sequence[int]
    options: Mapping
    distilled: Mapping = field(default_factory=dict)
    tuning_options: Mapping = field(default_factory=lambda: VALIDATION)
    weights: Mapping[str, Sequence[float]] = field(default_factory=dict)
    without: Sequence[str] = ()
    doubled: Mapping = field(default_factory=dict)

    def methods(self) -> list[Variant]:
        """The student alone and the distilled students."""
        alone = {**TEST, **self.options}
        variants = [Variant(ALONE, f'{CONFIGS}/resnet8.py', alone)]
        if self.doubled:
            variants.append(Variant('student alone, twice the epochs', variants[0].config, {**alone, **self.doubled}))
        variants += [
            self._distilled(name, config, weights={key: self.weights.get(name, usual) for key, usual in keys.items()})
            for name, config, keys in SINGLE]
        variants += [
            self._distilled(
                f'Knowledge Review + {name}', 'resnet8_review-resnet14', weights_of=('Knowledge Review', name), **{
                    'model.student.logits': 'head.fc', 'model.teacher.logits': 'head.fc',
                    'model.logit_loss': dict(type=loss)})
            for name, loss in JOINED.items()]
        return [variant for variant in variants if variant.name not in self.without]

    def _distilled(
            self, name: str, config: str, weights: Mapping | None = None, weights_of: tuple = (),
            **options: object) -> Variant:
        return Variant(
            name, f'{CONFIGS}/{config}.py', {**TEST, **self.options, **self.distilled, **options}, self.teacher,
            weights or {}, weights_of)


def _schedule(epochs: int) -> dict:
    return {
        'train_cfg.max_epochs': epochs, 'train_cfg.val_interval': epochs, 'param_scheduler.total_steps': epochs,
        'default_hooks.checkpoint': None}


_SMALLER = dict(type='Resize', scale=7, backend='cv2', interpolation='area')
SETTINGS = {
    'few images': Setting(
        f'{CONFIGS}/resnet14.py', seeds=(0, 1, 2, 3, 4), tuning_seeds=(100, 101),
        options={'train_cfg.val_interval': 150, 'default_hooks.checkpoint': None}),
    # Images of 7 x 7 pixels, so that a CPU needs two hours, not augmented, so that the student alone converges sooner.
    'all images': Setting(
        f'{CONFIGS}/resnet14_all-images.py', seeds=(0, 1, 2), tuning_seeds=(100,),
        options={
            'train_dataloader.dataset.indices': None, 'train_dataloader.batch_size': 128,
            'train_dataloader.dataset.pipeline': [_SMALLER, dict(type='PackInputs', meta_keys=())],
            'val_dataloader.dataset.pipeline': [_SMALLER, dict(type='PackInputs')], **_schedule(32)},
        distilled={'model.warmup_iters': 0, 'model.warmup_ratio': 0.05},
        tuning_options={**VALIDATION, 'train_dataloader.dataset.indices': 50000, **_schedule(8)},
        weights={
            'Knowledge Review': (10.0, 30.0, 100.0), 'logit KD': (0.3, 1.0, 3.0), 'DKD': (0.1, 0.3, 1.0),
            'PKD': (0.3, 1.0, 3.0)},
        without=('same-level L2', 'Knowledge Review + DKD'), doubled=_schedule(64)),
}


def compare_methods(out: Path, workers: int = 1, docs: Path | None = None, setting: str = 'few images') -> dict:
    """Choose each method's loss weight on validation images, train it with further seeds and test it.

    Writes ``results.json``; trainings that are finished are not repeated.

    Args:
        out (Path): The folder for all trainings.
        workers (int): Number of trainings that run at the same time. Defaults to 1.
        docs (Path, optional): The folder of ``demo.md``, whose tables are filled. Defaults to None.
        setting (str): A name in ``SETTINGS``. Defaults to 'few images'.

    Returns:
        dict: The results, see :meth:`~mmreviewkd.studies.ablation.study.Ablation.results`.
    """
    chosen = SETTINGS[setting]
    study = Ablation(out, chosen.methods(), chosen.seeds, chosen.tuning_seeds, chosen.tuning_options)
    results = study.run(workers, lambda results: write_json(results, out / 'results.json'))
    write_json(results, out / 'results.json')
    if docs:
        fill_marks(docs / 'demo.md', {
            f'<!-- {setting}: {name} -->': table for name, table in tables(results).items()}, '<!-- end -->')
    return results


def tables(results: dict) -> dict[str, str]:
    """The tables of the page, by the name in their mark."""
    rows = {name: [name] for name in results['variants']}
    return {
        'loss weights': tuning_table(results),
        'methods': variants_table(results, ['method'], rows, ALONE)}
