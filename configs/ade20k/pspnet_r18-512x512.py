# PSPNet R18 on ADE20K, the student alone. mmsegmentation has R50 and R101 on ADE20K, and R18 on Cityscapes, from which
# the head's widths come.
_base_ = 'mmseg::pspnet/pspnet_r50-d8_4xb4-160k_ade20k-512x512.py'

model = dict(
    pretrained='open-mmlab://resnet18_v1c',
    backbone=dict(depth=18),
    decode_head=dict(in_channels=512, channels=128),
    auxiliary_head=dict(in_channels=256, channels=64))
