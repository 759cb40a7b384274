# ResNet-18 distilled from an HRNet, whose backbone returns its four parallel branches, each of which is a level.
_base_ = '../imagenet/resnet18_review-resnet34.py'

model = dict(teacher=dict(model='mmpretrain::hrnet/hrnet-w18_4xb32_in1k.py', taps=['backbone', 'neck']))
