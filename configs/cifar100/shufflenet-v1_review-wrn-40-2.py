# ShuffleNetV1 distilled from WRN-40-2. In the paper: 70.50 -> 77.14 top-1.
_base_ = ['./shufflenet-v1.py', '../_base_/taps.py']

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=_base_.taps.stages),
    teacher=dict(
        model='mmreviewkd::cifar100/wrn-40-2.py',
        checkpoint='work_dirs/wrn-40-2/epoch_240.pth',  # or published weights of this network
        taps=_base_.taps.wrn_before_relu),
    connector=dict(type='ReviewConnector'),
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=5.0),  # the authors' weight
    warmup_epochs=20)  # the authors' warm-up
custom_hooks = [*_base_.custom_hooks, dict(type='mmreviewkd.ExportStudentHook')]
