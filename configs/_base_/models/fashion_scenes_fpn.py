# mmsegmentation's Semantic FPN R50, reduced for images of 72 to 96 pixels and for training from scratch.
_base_ = 'mmseg::_base_/models/fpn_r50.py'

norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=(96, 96)),
    backbone=dict(depth=18, stem_channels=8, base_channels=8, norm_cfg=norm_cfg),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16, norm_cfg=norm_cfg),
    decode_head=dict(in_channels=[16, 16, 16, 16], channels=16, num_classes=11, norm_cfg=norm_cfg))
