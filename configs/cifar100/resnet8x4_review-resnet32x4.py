# ResNet-8x4 distilled from ResNet-32x4. In the paper: 72.50 -> 75.63 top-1.
_base_ = ['./resnet8x4.py', '../_base_/taps.py']

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=_base_.taps.stages),
    teacher=dict(
        model='mmreviewkd::cifar100/resnet32x4.py',
        checkpoint='work_dirs/resnet32x4/epoch_240.pth',  # or published weights of this network
        taps=_base_.taps.stages_before_relu),
    connector=dict(type='ReviewConnector'),
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=5.0),  # the authors' weight
    warmup_epochs=20)  # the authors' warm-up
custom_hooks = [*_base_.custom_hooks, dict(type='mmreviewkd.ExportStudentHook')]
