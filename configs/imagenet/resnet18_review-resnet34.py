# ResNet-18 distilled from ResNet-34. In the paper: 69.75 -> 71.61 top-1.
_base_ = 'resnet18.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    # Features after the last ReLU of each stage: in the authors' code an in-place ReLU overwrites the stage outputs
    # before they are returned.
    student=dict(
        model=_base_.model,
        taps=['backbone.layer1', 'backbone.layer2', 'backbone.layer3', 'backbone.layer4', 'neck']),
    # mmpretrain's weights reach 73.62 top-1; the paper's teacher has torchvision's, with 73.31.
    teacher=dict(
        model='mmpretrain::resnet/resnet34_8xb32_in1k.py',
        checkpoint='metafile',
        taps=['backbone.layer1', 'backbone.layer2', 'backbone.layer3', 'backbone.layer4', 'neck']),
    connector=dict(type='ReviewConnector', mid_channels=512),  # the authors' width
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=1.0))  # the authors' weight, without warm-up
custom_hooks = [dict(type='mmreviewkd.ChannelsLastHook'), dict(type='mmreviewkd.ExportStudentHook')]
