"""The methods of the demo on Fashion-MNIST, each at its own best loss weight."""

from pathlib import Path

from .ablation.study import Ablation, Variant
from .ablation.tables import tuning_table, variants_table
from .ablation.variants import LOGIT_WEIGHT, WEIGHT
from .output import fill_marks, write_json

CONFIGS = 'configs/fashion_mnist'
TEACHER = f'{CONFIGS}/resnet14.py'
SEEDS, TUNING_SEEDS = (0, 1, 2, 3, 4), (100, 101)
# The reported trainings are tested on the test images, those that choose a weight on the validation images.
TEST = {
    'val_dataloader.dataset.split': 'test', 'val_dataloader.dataset.test_mode': True,
    'val_dataloader.dataset.indices': None}
VALIDATION = {
    'val_dataloader.dataset.split': 'train', 'val_dataloader.dataset.test_mode': False,
    'val_dataloader.dataset.indices': -10000}
ONCE = {'train_cfg.val_interval': 150, 'default_hooks.checkpoint': None}


def method(name: str, config: str, weights: dict | None = None, weights_of: tuple = (), **options: object) -> Variant:
    """A distilled student, with its candidate loss weights."""
    return Variant(name, f'{CONFIGS}/{config}.py', {**TEST, **ONCE, **options}, TEACHER, weights or {}, weights_of)


def joined_with(loss: str) -> dict:
    """Settings that add a logit loss to Knowledge Review."""
    return {
        'model.student.logits': 'head.fc', 'model.teacher.logits': 'head.fc', 'model.logit_loss': dict(type=loss)}


METHODS = [
    Variant('student alone', f'{CONFIGS}/resnet8.py', {**TEST, **ONCE}),
    method('Knowledge Review', 'resnet8_review-resnet14', {WEIGHT: (1.0, 3.0, 10.0, 30.0)}),
    method('logit KD', 'resnet8_kd-resnet14', {LOGIT_WEIGHT: (0.3, 1.0, 3.0)}),
    method('DKD', 'resnet8_dkd-resnet14', {LOGIT_WEIGHT: (0.1, 0.3, 1.0)}),
    method('same-level L2', 'resnet8_l2-resnet14', {WEIGHT: (3.0, 10.0, 30.0)}),
    method('PKD', 'resnet8_pkd-resnet14', {WEIGHT: (1.0, 3.0, 10.0)}),
    method('Knowledge Review + logit KD', 'resnet8_review-resnet14', weights_of=('Knowledge Review', 'logit KD'),
           **joined_with('LogitDistillationLoss')),
    method('Knowledge Review + DKD', 'resnet8_review-resnet14', weights_of=('Knowledge Review', 'DKD'),
           **joined_with('DecoupledLogitLoss')),
]


def compare_methods(out: Path, workers: int = 1, docs: Path | None = None) -> dict:
    """Choose each method's loss weight on validation images, train it with further seeds and test it.

    Writes ``results.json``; trainings that are finished are not repeated.

    Args:
        out (Path): The folder for all trainings.
        workers (int): Number of trainings that run at the same time. Defaults to 1.
        docs (Path, optional): The folder of ``demo.md``, whose tables are filled. Defaults to None.

    Returns:
        dict: The results, see :meth:`~mmreviewkd.studies.ablation.study.Ablation.results`.
    """
    study = Ablation(out, METHODS, SEEDS, TUNING_SEEDS, VALIDATION)
    results = study.run(workers, lambda results: write_json(results, out / 'results.json'))
    write_json(results, out / 'results.json')
    if docs:
        fill_marks(docs / 'demo.md', {
            f'<!-- table: {name} -->': table for name, table in tables(results).items()}, '<!-- end -->')
    return results


def tables(results: dict) -> dict[str, str]:
    """The tables of the page, by the name in their mark."""
    return {
        'loss weights': tuning_table(results),
        'methods': variants_table(
            results, ['method'], {variant.name: [variant.name] for variant in METHODS}, METHODS[0].name)}
