# MobileNetV1 guided by ResNet-50. In the paper: 68.87 -> 72.56 top-1.
_base_ = 'mobilenet-v1.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(
        model=_base_.model,
        taps=[
            'backbone.layer1[-1].relu:input', 'backbone.layer2[-1].relu:input', 'backbone.layer3[-1].relu:input',
            'backbone.layer4[-1].relu:input', 'neck'
        ]),
    # Its weights have 76.55 top-1; the paper's are torchvision's, with 76.13.
    teacher=dict(
        model='mmpretrain::resnet/resnet50_8xb32_in1k.py',
        checkpoint='metafile',
        taps=[
            'backbone.layer1[-1].relu:input', 'backbone.layer2[-1].relu:input', 'backbone.layer3[-1].relu:input',
            'backbone.layer4[-1].relu:input', 'neck'
        ]),
    connector=dict(type='ReviewConnector', mid_channels=256),
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=8.0))
custom_hooks = [dict(type='mmreviewkd.ChannelsLastHook'), dict(type='mmreviewkd.ExportStudentHook')]
