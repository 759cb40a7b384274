# The student, distilled with Knowledge Review, whose levels are compared by the loss of PKD, and with logit KD.
_base_ = ['./resnet8.py', '../_base_/taps.py']

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=_base_.taps.stages, logits='head.fc'),
    teacher=dict(
        model='mmreviewkd::fashion_mnist/resnet14.py',
        checkpoint='work_dirs/resnet14/epoch_3.pth',
        taps=_base_.taps.stages_before_relu,
        logits='head.fc'),
    connector=dict(type='ReviewConnector', mid_channels=16),
    distill_loss=dict(type='PearsonCorrelationLoss', loss_weight=30.0),
    logit_loss=dict(type='LogitDistillationLoss', temperature=4.0, loss_weight=3.0),
    warmup_iters=60)
custom_hooks = [*_base_.custom_hooks, dict(type='mmreviewkd.ExportStudentHook')]
