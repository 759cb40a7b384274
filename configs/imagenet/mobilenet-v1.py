# The student alone, with the schedule of ResNet-18. In the paper: 68.87 top-1.
_base_ = 'resnet18.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmreviewkd.MobileNetV1',
        # PyTorch's own initialization of convolutions, as in the authors' code; a is the square root of 5.
        init_cfg=dict(
            type='Kaiming', layer='Conv2d', a=2.2360679775, mode='fan_in', nonlinearity='leaky_relu',
            distribution='uniform')),
    head=dict(in_channels=1024))
