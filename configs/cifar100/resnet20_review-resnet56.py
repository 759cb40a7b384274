# ResNet-20 distilled from ResNet-56. In the paper: 69.06 -> 71.89 top-1.
_base_ = ['./resnet20.py', '../_base_/taps.py']

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=_base_.taps.stages),
    teacher=dict(
        model='mmreviewkd::cifar100/resnet56.py',
        checkpoint='work_dirs/resnet56/epoch_240.pth',  # or published weights of this network
        taps=_base_.taps.stages_before_relu),
    connector=dict(type='ReviewConnector'),
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=0.6),  # the authors' weight
    warmup_epochs=20)  # the authors' warm-up
custom_hooks = [*_base_.custom_hooks, dict(type='mmreviewkd.ExportStudentHook')]
