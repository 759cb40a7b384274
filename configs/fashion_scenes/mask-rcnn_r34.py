# The teacher of all three students, which has seen all 4,800 scenes. Compared with the Mask R-CNN student it is deeper,
# three times as wide, with twice the channels in the pyramid.
_base_ = 'mask-rcnn_r18.py'

model = dict(
    backbone=dict(depth=34, base_channels=24),
    neck=dict(in_channels=[24, 48, 96, 192], out_channels=32),
    rpn_head=dict(in_channels=32, feat_channels=32),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32),
        bbox_head=dict(in_channels=32),
        mask_roi_extractor=dict(out_channels=32),
        mask_head=dict(in_channels=32, conv_out_channels=32)))
train_dataloader = dict(dataset=dict(indices=None))
train_cfg = dict(max_epochs=8, val_interval=8)
param_scheduler = dict(total_steps=8)
default_hooks = dict(checkpoint=dict(interval=1))
