# VGG-8 distilled from VGG-13. In the paper: 70.36 -> 74.84 top-1.
_base_ = ['./vgg8.py', '../_base_/taps.py']

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=_base_.taps.vgg_stages),
    teacher=dict(
        model='mmreviewkd::cifar100/vgg13.py',
        checkpoint='work_dirs/vgg13/epoch_240.pth',  # or published weights of this network
        taps=_base_.taps.vgg_before_relu),
    connector=dict(type='ReviewConnector'),
    # The authors published no weight for this pair; users of MDistiller report 5.
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=5.0),
    warmup_epochs=20)  # the authors' warm-up
custom_hooks = [*_base_.custom_hooks, dict(type='mmreviewkd.ExportStudentHook')]
