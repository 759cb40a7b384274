"""The variants of the ablation study: connections, fusions, losses, other methods and sensitivity to settings."""

import itertools

from .study import Variant

CONFIGS = 'configs/fashion_mnist'
ALONE = f'{CONFIGS}/ablation/resnet8-short.py'
REVIEW = f'{CONFIGS}/ablation/resnet8-short_review.py'
TEACHER = f'{CONFIGS}/ablation/resnet14-half.py'
TEACHERS = {'ResNet-8, 8-8-16-32': f'{CONFIGS}/ablation/resnet8-half.py', 'ResNet-14, 8-8-16-32': TEACHER,
            'ResNet-14, 16-16-32-64': f'{CONFIGS}/ablation/resnet14-wide.py'}
LEVELS = ['1', '2', '3', 'pooled']
SEEDS, TUNING_SEEDS = (0, 1, 2), (100,)
# The last 5,000 of the 60,000 training images, of which the students see the first 2,000 and the teachers 12,000.
VALIDATION = {
    'val_dataloader.dataset.split': 'train', 'val_dataloader.dataset.test_mode': False,
    'val_dataloader.dataset.indices': -5000}

# Settings that variants combine.
WEIGHT = 'model.distill_loss.loss_weight'
LOGIT_WEIGHT = 'model.logit_loss.loss_weight'
HCL = {'model.distill_loss.type': 'HierarchicalContextLoss'}
L2 = {'model.distill_loss.type': 'FeatureL2Loss'}
ADDITION = {'model.connector.fusion': 'add'}
PAIRWISE = {'model.connector': dict(_delete_=True, type='PairwiseConnector')}
SAME_LEVEL = {'model.connector': dict(
    _delete_=True, type='PairwiseConnector', pairs=[[level, level] for level in range(len(LEVELS))])}
PKD_LOSS = {'model.distill_loss.type': 'PearsonCorrelationLoss'}
LOGITS = {
    'model.student.logits': 'head.fc', 'model.teacher.logits': 'head.fc',
    'model.logit_loss': dict(type='LogitDistillationLoss', temperature=4.0)}
NO_FEATURES = {
    'model.student.taps': [], 'model.teacher.taps': [], 'model.connector': None, 'model.distill_loss': None}
FITNETS = {'model.connector': dict(_delete_=True, type='SameLevelConnector'), **L2}
PKD = {'model.connector': dict(_delete_=True, type='SameLevelConnector'), **PKD_LOSS}
POINTWISE_PKD = {'model.connector.kernel_size': 1, **PKD_LOSS}
ATTENTION_TRANSFER = {
    'model.connector': None, 'model.distill_loss.type': 'AttentionTransferLoss',
    'model.student.taps': [f'backbone.layer{stage}' for stage in (1, 2, 3)],
    'model.teacher.taps': [f'backbone.layer{stage}[-1].relu:input' for stage in (1, 2, 3)]}
FEATURE_WEIGHTS = {WEIGHT: (3.0, 10.0, 30.0, 100.0)}
CORRELATION_WEIGHTS = {WEIGHT: (3.0, 10.0, 30.0, 100.0, 300.0)}


def review(
        name: str, *parts: dict, weights: dict | None = None, weights_of: tuple = (),
        teacher: str = TEACHER) -> Variant:
    """A variant of the distilled student that combines settings."""
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
    review('logit KD', NO_FEATURES, LOGITS, weights={LOGIT_WEIGHT: (0.3, 1.0, 3.0, 10.0)}),
    review('FitNets', FITNETS, weights=FEATURE_WEIGHTS),
    review('PKD', PKD, weights=CORRELATION_WEIGHTS),
    review('Knowledge Review with the loss of PKD', PKD_LOSS, weights=CORRELATION_WEIGHTS),
    review('Knowledge Review with 1x1 kernels and the loss of PKD', POINTWISE_PKD, weights=CORRELATION_WEIGHTS),
    review('attention transfer', ATTENTION_TRANSFER, weights={WEIGHT: (100.0, 300.0, 1000.0, 3000.0)}),
    review('Knowledge Review + logit KD', LOGITS, weights_of=('Knowledge Review', 'logit KD')),
    review('Knowledge Review with the loss of PKD + logit KD', PKD_LOSS, LOGITS,
           weights_of=('Knowledge Review with the loss of PKD', 'logit KD')),
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
    'kernel size': {
        f'{size}x{size}': review(
            f'kernel {size}', {} if size == 3 else {'model.connector.kernel_size': size}, **LIKE_OURS)
        for size in (1, 3)},
    'teacher': {name: review(name, teacher=config, **LIKE_OURS) for name, config in TEACHERS.items()},
}
CROSS_STAGE = {
    (i, j): review(
        f'{LEVELS[i]} by {LEVELS[j]}',
        {'model.connector': dict(_delete_=True, type='PairwiseConnector', pairs=[[i, j]])}, L2,
        weights_of=('same level, L2',))
    for i, j in itertools.product(range(len(LEVELS)), repeat=2)}
# In the order in which they are trained.
VARIANTS = [
    *METHODS, *(variant for pair, variant in CROSS_STAGE.items() if 3 not in pair),
    *(variant for group in SENSITIVITY.values() for variant in group.values()),
    *(variant for pair, variant in CROSS_STAGE.items() if 3 in pair)]
