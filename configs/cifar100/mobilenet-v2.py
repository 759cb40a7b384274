# MobileNetV2 of half the width, a student. In the paper: 64.60 top-1 alone.
_base_ = [
    '../_base_/models/cifar100_classifier.py', '../_base_/datasets/cifar100.py',
    '../_base_/schedules/cifar100_240e.py', '../_base_/default_runtime.py'
]

model = dict(
    backbone=dict(type='mmreviewkd.CIFARMobileNetV2', widen_factor=0.5),
    head=dict(in_channels=1280))
optim_wrapper = dict(optimizer=dict(lr=0.02))
