"""The ablations on Fashion-MNIST: where knowledge is sent, how it is fused, against what, and how sensitive it is.

Trainings that are done are not repeated, an interrupted study goes on.
"""

import argparse
import itertools
from pathlib import Path

from mmreviewkd.studies import ablation_page
from mmreviewkd.studies.ablation import Ablation, Variant, write_json
from mmreviewkd.studies.fashion_mnist import prepare_fashion_mnist
from mmreviewkd.utils.errors import one_line_errors

CONFIGS = 'configs/fashion_mnist'
ALONE = f'{CONFIGS}/ablation/resnet8.py'
REVIEW = f'{CONFIGS}/ablation/resnet8_review.py'
TEACHER = f'{CONFIGS}/ablation/resnet14-half.py'
TEACHERS = {'ResNet-8, 8-8-16-32': f'{CONFIGS}/ablation/resnet8-half.py', 'ResNet-14, 8-8-16-32': TEACHER,
            'ResNet-14, 16-16-32-64': f'{CONFIGS}/ablation/resnet14.py'}
LEVELS = ['1', '2', '3', 'pooled']
SEEDS, TUNING_SEEDS = (0, 1, 2), (100, 101)
# The last 5,000 of the 60,000 training images, of which the students see the first 2,000 and the teachers 12,000.
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
FEATURE_WEIGHTS = {WEIGHT: (1.0, 3.0, 10.0, 30.0)}


def review(
        name: str, *parts: dict, weights: dict | None = None, weights_of: tuple = (),
        teacher: str = TEACHER) -> Variant:
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
    review('logit KD', NO_FEATURES, LOGITS, weights={LOGIT_WEIGHT: (0.3, 1.0, 3.0, 10.0, 30.0)}),
    review('FitNets', FITNETS, weights=FEATURE_WEIGHTS),
    review('attention transfer', ATTENTION_TRANSFER, weights={WEIGHT: (30.0, 100.0, 300.0, 1000.0, 3000.0)}),
    review('Knowledge Review + logit KD', LOGITS, weights_of=('Knowledge Review', 'logit KD')),
]
LIKE_OURS = dict(weights_of=('Knowledge Review',))
SENSITIVITY = {
    'loss weight': {
        f'{weight:g}': review(f'weight {weight:g}', {WEIGHT: weight}) for weight in (1.0, 3.0, 10.0, 30.0, 100.0)},
    'warm-up (epochs)': {
        f'{epochs}': review(
            f'warm-up {epochs}', {} if epochs == 1 else {'model.warmup_iters': 32 * epochs}, **LIKE_OURS)
        for epochs in (0, 1, 5)},
    'M': {
        f'{m}': review(f'M {m}', {} if m == 16 else {'model.connector.mid_channels': m}, **LIKE_OURS)
        for m in (8, 16, 32)},
    'teacher': {name: review(name, teacher=config, **LIKE_OURS) for name, config in TEACHERS.items()},
}
CROSS_STAGE = {
    (i, j): review(
        f'{LEVELS[i]} by {LEVELS[j]}',
        {'model.connector': dict(_delete_=True, type='PairwiseConnector', pairs=[[i, j]])}, L2,
        weights_of=('same level, L2',))
    for i, j in itertools.product(range(len(LEVELS)), repeat=2)}
# In the order of what is wanted first.
VARIANTS = [
    *METHODS, *(variant for pair, variant in CROSS_STAGE.items() if 3 not in pair),
    *(variant for group in SENSITIVITY.values() for variant in group.values()),
    *(variant for pair, variant in CROSS_STAGE.items() if 3 in pair)]


# What the page shows.
ALONE_NAME = METHODS[0].name
CONNECTIONS = {pair: variant.name for pair, variant in CROSS_STAGE.items()}
COMPONENTS = {
    'student alone': ['student alone', '', '', '', ''],
    'same level, L2': ['same level', '', '', '', ''],
    'paths, L2': ['+ review paths', 'yes', '', '', ''],
    'nested, addition, L2': ['+ residual framework, by addition', 'yes', 'yes', '', ''],
    'nested, ABF, L2': ['+ ABF (all without HCL)', 'yes', 'yes', 'yes', ''],
    'Knowledge Review': ['+ HCL: **Knowledge Review**', 'yes', 'yes', 'yes', 'yes'],
    'nested, addition, HCL': ['all without ABF', 'yes', 'yes', '', 'yes'],
    'paths, HCL': ['all without the nesting (and so without ABF)', 'yes', '', '', 'yes'],
    'same level, HCL': ['HCL alone', '', '', '', 'yes'],
}
OTHERS = ['student alone', 'logit KD', 'attention transfer', 'FitNets', 'Knowledge Review',
          'Knowledge Review + logit KD']


def publish(results: dict, folder: Path) -> None:
    """Write the results, and the tables and pictures of ``ablations.md``, into the folder of that page."""
    write_json(results, folder / 'ablations.json')
    ablation_page.fill_page(folder / 'ablations.md', tables(results))
    ablation_page.draw_matrix(results, LEVELS, CONNECTIONS, ALONE_NAME, folder / 'ablations_cross_stage.png')
    ablation_page.draw_bars(
        results, {'components': {name: cells[0].replace('**', '') for name, cells in COMPONENTS.items()},
                  'against others': {name: name for name in OTHERS}},
        ALONE_NAME, folder / 'ablations_methods.png')
    ablation_page.draw_lines(
        results, {title: {variant.name: label.replace(', ', '\n') for label, variant in group.items()}
                  for title, group in SENSITIVITY.items()},
        ALONE_NAME, folder / 'ablations_sensitivity.png')


def tables(results: dict) -> dict[str, str]:
    """The tables of the page, by name."""
    return {
        'teachers': ablation_page.teachers_table(results, {config: name for name, config in TEACHERS.items()}),
        'loss weights': ablation_page.tuning_table(results),
        'cross-stage': ablation_page.matrix_table(
            results, LEVELS, CONNECTIONS, ALONE_NAME),
        'components': ablation_page.variants_table(
            results, ['', 'review paths', 'residual', 'ABF', 'HCL'], COMPONENTS, ALONE_NAME),
        'others': ablation_page.variants_table(results, ['method'], {name: [name] for name in OTHERS}, ALONE_NAME),
        'sensitivity': ablation_page.variants_table(
            results, ['setting', 'value'],
            {variant.name: [title, label] for title, group in SENSITIVITY.items() for label, variant in group.items()},
            ALONE_NAME),
        'cost': ablation_page.cost_table(results),
    }


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/ablation'), help='the folder for all trainings')
    parser.add_argument('--data', help='a folder with the four files of Fashion-MNIST, packed or not')
    parser.add_argument('--docs', type=Path, help='a folder with ablations.md, to fill with tables and pictures')
    parser.add_argument('--workers', type=int, default=1, help='how many trainings run at once, a thread each')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    prepare_fashion_mnist('data/fashion_mnist', args.data)
    study = Ablation(args.out, VARIANTS, SEEDS, TUNING_SEEDS, VALIDATION)
    results = study.run(args.workers, lambda results: write_json(results, args.out / 'results.json'))
    write_json(results, args.out / 'results.json')
    if args.docs:
        publish(results, args.docs)


if __name__ == '__main__':
    with one_line_errors():
        main()
