"""The ablations on Fashion-MNIST: where knowledge is sent, how it is fused, against what, and how sensitive it is.

Trainings that are done are not repeated, an interrupted study goes on.
"""

import argparse
from pathlib import Path

from mmreviewkd.apis.ablation import Ablation, Variant, write_json
from mmreviewkd.datasets.fashion_mnist import prepare_fashion_mnist
from mmreviewkd.utils.errors import one_line_errors

CONFIGS = 'configs/fashion_mnist'
ALONE = f'{CONFIGS}/ablation/resnet8.py'
REVIEW = f'{CONFIGS}/ablation/resnet8_review.py'
TEACHER = f'{CONFIGS}/ablation/resnet14-half.py'
TEACHERS = {'ResNet-8, 8-8-16-32': f'{CONFIGS}/ablation/resnet8-half.py', 'ResNet-14, 8-8-16-32': TEACHER,
            'ResNet-14, 16-16-32-64': f'{CONFIGS}/resnet14.py'}
LEVELS = ['1', '2', '3', 'pooled']
SEEDS, TUNING_SEED = (0, 1, 2), 100
# The last 5,000 of the 60,000 training images, of which the students see the first 3,000 and the teachers 12,000.
VALIDATION = {
    'val_dataloader.dataset.split': 'train', 'val_dataloader.dataset.test_mode': False,
    'val_dataloader.dataset.indices': -5000}

# The parts that variants are made of.
WEIGHT = 'model.distill_loss.loss_weight'
LOGIT_WEIGHT = 'model.logit_loss.loss_weight'
L2 = {'model.distill_loss.type': 'FeatureL2Loss'}
ADDITION = {'model.connector.fusion': 'add'}
PAIRWISE = {'model.connector': dict(_delete_=True, type='PairwiseConnector')}
SAME_LEVEL = {'model.connector': dict(
    _delete_=True, type='PairwiseConnector', pairs=[[level, level] for level in range(len(LEVELS))])}
LOGITS = {
    'model.student.logits': 'head.fc', 'model.teacher.logits': 'head.fc',
    'model.logit_loss': dict(type='LogitDistillationLoss', temperature=4.0)}
NO_FEATURES = {
    'model.student.taps': [], 'model.teacher.taps': [], 'model.connector': None, 'model.distill_loss': None}
FITNETS = {'model.connector': dict(_delete_=True, type='SameLevelConnector'), **L2}
ATTENTION_TRANSFER = {
    'model.connector': None, 'model.distill_loss.type': 'AttentionTransferLoss',
    'model.student.taps': [f'backbone.layer{stage}' for stage in (1, 2, 3)],
    'model.teacher.taps': [f'backbone.layer{stage}[-1].relu:input' for stage in (1, 2, 3)]}
FEATURE_WEIGHTS = {WEIGHT: (3.0, 10.0, 30.0)}


def review(name: str, *parts: dict, weights: dict | None = None, weights_of: tuple = (), teacher: str = TEACHER):
    """A variant of the distilled student, made of parts."""
    return Variant(name, REVIEW, {key: value for part in parts for key, value in part.items()}, teacher,
                   weights or {}, weights_of)


METHODS = [
    Variant('student alone', ALONE),
    review('Knowledge Review', weights=FEATURE_WEIGHTS),
    review('same level, L2', SAME_LEVEL, L2, weights=FEATURE_WEIGHTS),
    review('paths, L2', PAIRWISE, L2, weights=FEATURE_WEIGHTS),
    review('nested, addition, L2', ADDITION, L2, weights=FEATURE_WEIGHTS),
    review('nested, ABF, L2', L2, weights=FEATURE_WEIGHTS),
    review('nested, addition, HCL', ADDITION, weights=FEATURE_WEIGHTS),
    review('paths, HCL', PAIRWISE, weights=FEATURE_WEIGHTS),
    review('same level, HCL', SAME_LEVEL, weights=FEATURE_WEIGHTS),
    review('logit KD', NO_FEATURES, LOGITS, weights={LOGIT_WEIGHT: (1.0, 3.0, 10.0)}),
    review('FitNets', FITNETS, weights=FEATURE_WEIGHTS),
    review('attention transfer', ATTENTION_TRANSFER, weights={WEIGHT: (300.0, 1000.0, 3000.0)}),
    review('Knowledge Review + logit KD', LOGITS, weights_of=('Knowledge Review', 'logit KD')),
]
LIKE_OURS = dict(weights_of=('Knowledge Review',))
SENSITIVITY = {
    'loss weight': [review(f'weight {weight:g}', {WEIGHT: weight}) for weight in (1.0, 3.0, 10.0, 30.0, 100.0)],
    'warm-up (epochs)': [
        review(f'warm-up {epochs}', {} if epochs == 1 else {'model.warmup_iters': 47 * epochs}, **LIKE_OURS)
        for epochs in (0, 1, 5)],
    'M': [review(f'M {m}', {} if m == 16 else {'model.connector.mid_channels': m}, **LIKE_OURS) for m in (8, 16, 32)],
    'teacher': [review(name, teacher=config, **LIKE_OURS) for name, config in TEACHERS.items()],
}
CROSS_STAGE = {
    (i, j): review(
        f'{LEVELS[i]} by {LEVELS[j]}',
        {'model.connector': dict(_delete_=True, type='PairwiseConnector', pairs=[[i, j]])}, L2,
        weights_of=('same level, L2',))
    for i in range(len(LEVELS)) for j in range(len(LEVELS))}
# In the order of what is wanted first: of the cross-stage table, the pooled level comes last.
VARIANTS = [
    *METHODS, *(CROSS_STAGE[i, j] for i in range(3) for j in range(3)),
    *(variant for group in SENSITIVITY.values() for variant in group),
    *(variant for pair, variant in CROSS_STAGE.items() if 3 in pair)]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/ablation'), help='the folder for all trainings')
    parser.add_argument('--data', help='a folder with the four files of Fashion-MNIST, packed or not')
    parser.add_argument('--workers', type=int, default=1, help='how many trainings run at once, a thread each')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    prepare_fashion_mnist('data/fashion_mnist', args.data)
    study = Ablation(args.out, VARIANTS, SEEDS, TUNING_SEED, VALIDATION)
    write_json(study.run(args.workers, lambda results: write_json(results, args.out / 'results.json')),
               args.out / 'results.json')


if __name__ == '__main__':
    with one_line_errors():
        main()
