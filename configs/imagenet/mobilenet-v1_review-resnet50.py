# MobileNetV1 distilled from ResNet-50. In the paper: 68.87 -> 72.56 top-1.
_base_ = 'mobilenet-v1.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    # The authors' MobileNetV1 gives its features before the last ReLU of each stage, ...
    student=dict(
        model=_base_.model,
        taps=[
            'backbone.layer1[-1].relu:input', 'backbone.layer2[-1].relu:input', 'backbone.layer3[-1].relu:input',
            'backbone.layer4[-1].relu:input', 'neck'
        ]),
    # ... their ResNet-50 after it, as an in-place ReLU overwrites the stage outputs before they are returned.
    # mmpretrain's weights reach 76.55 top-1; the paper's teacher has torchvision's, with 76.13.
    teacher=dict(
        model='mmpretrain::resnet/resnet50_8xb32_in1k.py',
        checkpoint='metafile',
        taps=['backbone.layer1', 'backbone.layer2', 'backbone.layer3', 'backbone.layer4', 'neck']),
    connector=dict(type='ReviewConnector', mid_channels=256),  # the authors' width
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=8.0))  # the authors' weight, without warm-up
custom_hooks = [dict(type='mmreviewkd.ChannelsLastHook'), dict(type='mmreviewkd.ExportStudentHook')]
