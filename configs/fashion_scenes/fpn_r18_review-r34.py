# The student, distilled with Knowledge Review, whose levels are compared by the loss of PKD.
_base_ = 'fpn_r18.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=['neck']),
    teacher=dict(
        model='mmreviewkd::fashion_scenes/fpn_r34.py', checkpoint='work_dirs/fpn_r34/iter_2000.pth', taps=['neck']),
    connector=dict(type='ReviewConnector', mid_channels=32),
    distill_loss=dict(type='PearsonCorrelationLoss', loss_weight=100.0),
    warmup_iters=100)
custom_hooks = [dict(type='mmreviewkd.ExportStudentHook')]
