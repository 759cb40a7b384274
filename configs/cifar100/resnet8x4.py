# ResNet-8x4, a student. In the paper: 72.50 top-1 alone.
_base_ = [
    '../_base_/models/cifar100_classifier.py', '../_base_/datasets/cifar100.py',
    '../_base_/schedules/cifar100_240e.py', '../_base_/default_runtime.py'
]

model = dict(
    backbone=dict(type='mmreviewkd.CIFARResNet', depth=8, widths=(32, 64, 128, 256)),
    head=dict(in_channels=256))
