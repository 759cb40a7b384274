# ResNet-18 guided by ResNet-34. In the paper: 69.75 -> 71.61 top-1.
_base_ = 'resnet18.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(
        model=_base_.model,
        taps=[
            'backbone.layer1[-1].relu:input', 'backbone.layer2[-1].relu:input', 'backbone.layer3[-1].relu:input',
            'backbone.layer4[-1].relu:input', 'neck'
        ]),
    # Its weights have 73.62 top-1; the paper's are torchvision's, with 73.31.
    teacher=dict(
        model='mmpretrain::resnet/resnet34_8xb32_in1k.py',
        checkpoint='metafile',
        taps=[
            'backbone.layer1[-1].relu:input', 'backbone.layer2[-1].relu:input', 'backbone.layer3[-1].relu:input',
            'backbone.layer4[-1].relu:input', 'neck'
        ]),
    connector=dict(type='ReviewConnector', mid_channels=512),
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=1.0))
custom_hooks = [dict(type='mmreviewkd.ChannelsLastHook'), dict(type='mmreviewkd.ExportStudentHook')]
