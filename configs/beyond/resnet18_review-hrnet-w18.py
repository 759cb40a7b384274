# ResNet-18 guided by an HRNet, whose four branches run side by side: the backbone gives a level each.
_base_ = '../imagenet/resnet18_review-resnet34.py'

model = dict(teacher=dict(model='mmpretrain::hrnet/hrnet-w18_4xb32_in1k.py', taps=['backbone', 'neck']))
