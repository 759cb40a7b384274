# The student, distilled with Knowledge Review as in its paper: levels are compared by HCL.
_base_ = ['./resnet8.py', '../_base_/taps.py']

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=_base_.taps.stages),
    teacher=dict(
        model='mmreviewkd::fashion_mnist/resnet14.py',
        checkpoint='work_dirs/resnet14/epoch_3.pth',
        taps=_base_.taps.stages_before_relu),
    connector=dict(type='ReviewConnector', mid_channels=16),
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=10.0),
    warmup_iters=60)
custom_hooks = [*_base_.custom_hooks, dict(type='mmreviewkd.ExportStudentHook')]
