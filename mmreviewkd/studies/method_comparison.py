"""Methods compared, each at its own best loss weight: classifiers with few images and with all, and a detector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .ablation.study import TOP1, Ablation, Metric, Variant
from .ablation.tables import tuning_table, variants_table
from .ablation.variants import HCL, LOGIT_WEIGHT, PKD, PKD_LOSS, POINTWISE_PKD, WEIGHT
from .output import fill_marks, write_json

CONFIGS = 'configs/fashion_mnist'
SCENES = 'configs/fashion_scenes'
ALONE, REVIEW, PKD_REVIEW = 'student alone', 'Knowledge Review', 'Knowledge Review with the loss of PKD'
# The reported trainings are tested on the test images, those that choose a weight on the validation images.
TEST = {
    'val_dataloader.dataset.split': 'test', 'val_dataloader.dataset.test_mode': True,
    'val_dataloader.dataset.indices': None}
VALIDATION = {
    'val_dataloader.dataset.split': 'train', 'val_dataloader.dataset.test_mode': False,
    'val_dataloader.dataset.indices': -10000}
_TEST_SCENES = {
    'val_dataloader.dataset.ann_file': 'annotations/test.json', 'val_dataloader.dataset.data_prefix.img': 'test/',
    'val_evaluator.ann_file': 'data/fashion_scenes/annotations/test.json'}
_VALIDATION_SCENES = {
    'val_dataloader.dataset.ann_file': 'annotations/val.json', 'val_dataloader.dataset.data_prefix.img': 'val/',
    'val_evaluator.ann_file': 'data/fashion_scenes/annotations/val.json'}


def _joined(name: str, loss: str, review: str = REVIEW, options: Mapping | None = None) -> Variant:
    """Knowledge Review together with a logit loss, each at the weight that suits it alone."""
    return Variant(
        f'{review} + {name}', f'{CONFIGS}/resnet8_review-resnet14.py', weights_of=(review, name), options={
            'model.student.logits': 'head.fc', 'model.teacher.logits': 'head.fc',
            'model.logit_loss': dict(type=loss), **(options or {})})


def _classifiers(
        review: Sequence[float], kd: Sequence[float], dkd: Sequence[float], l2: Sequence[float],
        pkd: Sequence[float], review_pkd: Sequence[float]) -> list[Variant]:
    """The methods for classifiers, with their candidate loss weights; without L2 if it has none."""
    return [
        Variant(REVIEW, f'{CONFIGS}/resnet8_review-resnet14.py', weights={WEIGHT: review}),
        Variant('logit KD', f'{CONFIGS}/resnet8_kd-resnet14.py', weights={LOGIT_WEIGHT: kd}),
        Variant('DKD', f'{CONFIGS}/resnet8_dkd-resnet14.py', weights={LOGIT_WEIGHT: dkd}),
        *([Variant('same-level L2', f'{CONFIGS}/resnet8_l2-resnet14.py', weights={WEIGHT: l2})] if l2 else []),
        Variant('PKD', f'{CONFIGS}/resnet8_pkd-resnet14.py', weights={WEIGHT: pkd}),
        _joined('logit KD', 'LogitDistillationLoss'),
        Variant(PKD_REVIEW, f'{CONFIGS}/resnet8_review-resnet14.py', PKD_LOSS, weights={WEIGHT: review_pkd}),
        _joined('logit KD', 'LogitDistillationLoss', PKD_REVIEW, PKD_LOSS)]


def _detectors() -> list[Variant]:
    """The methods for detectors, which compare the feature pyramids of student and teacher."""
    config = f'{SCENES}/mask-rcnn_r18_review-r34.py'
    return [
        Variant('PKD', config, PKD, weights={WEIGHT: (3.0, 10.0, 30.0)}),
        Variant(REVIEW, config, HCL, weights={WEIGHT: (10.0, 30.0, 100.0, 300.0)}),
        Variant(
            f'{REVIEW} with 1x1 kernels and the loss of PKD', config, POINTWISE_PKD,
            weights={WEIGHT: (10.0, 30.0, 100.0)}),
        Variant(PKD_REVIEW, config, PKD_LOSS, weights={WEIGHT: (10.0, 30.0, 100.0, 300.0)})]


@dataclass(frozen=True)
class Setting:
    """Data, schedule and methods of a comparison.

    Args:
        alone (str): The config file of the student alone.
        teacher (str): The config file of the teacher.
        methods (Sequence[Variant]): The distilled students, without teacher and the settings below.
        page (str): The page in the docs whose tables are filled.
        seeds (Sequence[int]): Seeds of the reported trainings.
        tuning_seeds (Sequence[int]): Seeds of the trainings that choose loss weights.
        options (Mapping): Settings of all students, by dotted keys, the test images among them.
        tuning_options (Mapping): Settings of the trainings that choose loss weights.
        distilled (Mapping): Settings of the distilled students alone, by dotted keys.
        doubled (Mapping): Settings that double the schedule; a student alone is trained with them, too.
        metric (Metric): What is compared. Defaults to top-1 accuracy.
    """

    alone: str
    teacher: str
    methods: Sequence[Variant]
    page: str
    seeds: Sequence[int]
    tuning_seeds: Sequence[int]
    options: Mapping
    tuning_options: Mapping
    distilled: Mapping = field(default_factory=dict)
    doubled: Mapping = field(default_factory=dict)
    metric: Metric = TOP1

    def variants(self) -> list[Variant]:
        """The student alone and the distilled students."""
        variants = [Variant(ALONE, self.alone, self.options)]
        if self.doubled:
            variants.append(Variant(f'{ALONE}, twice the epochs', self.alone, {**self.options, **self.doubled}))
        return variants + [
            replace(method, options={**self.options, **self.distilled, **method.options}, teacher=self.teacher)
            for method in self.methods]


def _schedule(epochs: int) -> dict:
    return {
        'train_cfg.max_epochs': epochs, 'train_cfg.val_interval': epochs, 'param_scheduler.total_steps': epochs,
        'default_hooks.checkpoint': None}


_SMALLER = dict(type='Resize', scale=7, backend='cv2', interpolation='area')
SETTINGS = {
    'few images': Setting(
        f'{CONFIGS}/resnet8.py', f'{CONFIGS}/resnet14.py',
        [
            *_classifiers(
                review=(1.0, 3.0, 10.0, 30.0), kd=(0.3, 1.0, 3.0), dkd=(0.1, 0.3, 1.0), l2=(3.0, 10.0, 30.0),
                pkd=(1.0, 3.0, 10.0), review_pkd=(10.0, 30.0, 100.0)),
            _joined('DKD', 'DecoupledLogitLoss'),
        ], 'demo.md', seeds=(0, 1, 2, 3, 4), tuning_seeds=(100, 101),
        options={**TEST, 'train_cfg.val_interval': 150, 'default_hooks.checkpoint': None}, tuning_options=VALIDATION),
    # Images of 7 x 7 pixels, so that a CPU needs two hours, not augmented, so that the student alone converges sooner.
    'all images': Setting(
        f'{CONFIGS}/resnet8.py', f'{CONFIGS}/resnet14_all-images.py',
        _classifiers(
            review=(10.0, 30.0, 100.0), kd=(0.3, 1.0, 3.0), dkd=(0.1, 0.3, 1.0), l2=(), pkd=(0.3, 1.0, 3.0),
            review_pkd=(10.0, 30.0, 100.0)),
        'demo.md', seeds=(0, 1, 2), tuning_seeds=(100,),
        options={
            **TEST, 'train_dataloader.dataset.indices': None, 'train_dataloader.batch_size': 128,
            'train_dataloader.dataset.pipeline': [_SMALLER, dict(type='PackInputs', meta_keys=())],
            'val_dataloader.dataset.pipeline': [_SMALLER, dict(type='PackInputs')], **_schedule(32)},
        tuning_options={**VALIDATION, 'train_dataloader.dataset.indices': 50000, **_schedule(8)},
        distilled={'model.warmup_iters': 0, 'model.warmup_ratio': 0.05}, doubled=_schedule(64)),
    'scenes': Setting(
        f'{SCENES}/mask-rcnn_r18.py', f'{SCENES}/mask-rcnn_r34.py', _detectors(), 'demo_detection.md',
        seeds=(0, 1, 2), tuning_seeds=(100,),
        options={**_TEST_SCENES, 'train_cfg.val_interval': 80, 'default_hooks.checkpoint': None},
        tuning_options=_VALIDATION_SCENES, metric=Metric('coco/bbox_mAP', 'box AP', 100.0)),
}


def compare_methods(out: Path, workers: int = 1, docs: Path | None = None, setting: str = 'few images') -> dict:
    """Choose each method's loss weight on validation images, train it with further seeds and test it.

    Writes ``results.json``; trainings that are finished are not repeated.

    Args:
        out (Path): The folder for all trainings.
        workers (int): Number of trainings that run at the same time. Defaults to 1.
        docs (Path, optional): The folder of the page whose tables are filled. Defaults to None.
        setting (str): A name in ``SETTINGS``. Defaults to 'few images'.

    Returns:
        dict: The results, see :meth:`~mmreviewkd.studies.ablation.study.Ablation.results`.
    """
    chosen = SETTINGS[setting]
    study = Ablation(
        out, chosen.variants(), chosen.seeds, chosen.tuning_seeds, chosen.tuning_options, chosen.metric)
    results = study.run(workers, lambda results: write_json(results, out / 'results.json'))
    write_json(results, out / 'results.json')
    if docs:
        fill_marks(docs / chosen.page, {
            f'<!-- {setting}: {name} -->': table for name, table in tables(results).items()}, '<!-- end -->')
    return results


def tables(results: dict) -> dict[str, str]:
    """The tables of the page, by the name in their mark."""
    rows = {name: [name] for name in results['variants']}
    return {
        'loss weights': tuning_table(results),
        'methods': variants_table(results, ['method'], rows, ALONE)}
