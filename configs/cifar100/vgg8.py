# VGG-8, a student. In the paper: 70.36 top-1 alone.
_base_ = [
    '../_base_/models/cifar100_classifier.py', '../_base_/datasets/cifar100.py',
    '../_base_/schedules/cifar100_240e.py', '../_base_/default_runtime.py'
]

model = dict(
    backbone=dict(type='mmreviewkd.CIFARVGG', depth=8),
    head=dict(in_channels=512))
