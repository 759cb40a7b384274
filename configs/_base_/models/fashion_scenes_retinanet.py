# mmdet's RetinaNet R50-FPN, reduced for images of 72 to 96 pixels and for training from scratch. The head is shared by
# all levels, whose statistics differ, so it has group normalization: running averages of all levels fit none of them.
_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'

model = dict(
    backbone=dict(depth=18, base_channels=8, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16, start_level=0, num_outs=5, norm_cfg=dict(type='BN')),
    bbox_head=dict(
        num_classes=10,
        in_channels=16,
        stacked_convs=2,
        feat_channels=16,
        norm_cfg=dict(type='GN', num_groups=4),
        anchor_generator=dict(strides=[4, 8, 16, 32, 64])),
    test_cfg=dict(nms_pre=200, max_per_img=20))
