# The teacher.
_base_ = 'mask-rcnn_r18.py'
model = dict(
    backbone=dict(depth=34, base_channels=24),
    neck=dict(in_channels=[24, 48, 96, 192], out_channels=48),
    rpn_head=dict(in_channels=48, feat_channels=48),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=48),
        bbox_head=dict(in_channels=48, fc_out_channels=256),
        mask_roi_extractor=dict(out_channels=48),
        mask_head=dict(in_channels=48, conv_out_channels=48)))
