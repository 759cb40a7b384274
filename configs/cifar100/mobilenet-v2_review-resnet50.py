# MobileNetV2 guided by ResNet-50. In the paper: 64.60 -> 69.89 top-1.
_base_ = './mobilenet-v2.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(
        model=_base_.model,
        taps=['backbone.layer2', 'backbone.layer3', 'backbone.layer5', 'backbone.layer7', 'neck']),
    teacher=dict(
        model='mmreviewkd::cifar100/resnet50.py',
        checkpoint='work_dirs/resnet50/epoch_240.pth',  # or a public one of this network
        taps=[
            'backbone.layer1[-1].relu:input', 'backbone.layer2[-1].relu:input', 'backbone.layer3[-1].relu:input',
            'backbone.layer4[-1].relu:input', 'neck'
        ]),
    connector=dict(type='ReviewConnector'),
    # The authors published no weight for this pair; 5 is that of most others.
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=5.0),
    warmup_epochs=20)
custom_hooks = [*_base_.custom_hooks, dict(type='mmreviewkd.ExportStudentHook')]
