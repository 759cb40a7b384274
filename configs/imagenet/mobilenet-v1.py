# The student alone, by the same recipe. In the paper: 68.87 top-1.
_base_ = 'resnet18.py'

model = dict(backbone=dict(_delete_=True, type='mmreviewkd.MobileNetV1'), head=dict(in_channels=1024))
