# The student, distilled with Knowledge Review; the ablations override parts of it.
_base_ = ['./resnet8-short.py', '../../_base_/taps.py']

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=_base_.taps.stages),
    teacher=dict(
        model='mmreviewkd::fashion_mnist/ablation/resnet14-half.py',
        checkpoint='work_dirs/ablation/teachers/ablation_resnet14-half/epoch_8.pth',
        taps=_base_.taps.stages_before_relu),
    connector=dict(type='ReviewConnector', fusion='abf'),
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=3.0),
    warmup_iters=32)
