# The student, distilled with logit KD.
_base_ = './resnet8.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, logits='head.fc'),
    teacher=dict(
        model='mmreviewkd::fashion_mnist/resnet14.py', checkpoint='work_dirs/resnet14/epoch_3.pth', logits='head.fc'),
    distill_loss=None,
    logit_loss=dict(type='LogitDistillationLoss', temperature=4.0, loss_weight=3.0))
custom_hooks = [*_base_.custom_hooks, dict(type='mmreviewkd.ExportStudentHook')]
