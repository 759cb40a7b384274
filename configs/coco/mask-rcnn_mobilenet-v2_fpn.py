# Mask R-CNN MobileNetV2-FPN on the ends of the backbone's strides 4, 8, 16 and 32, the student alone.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py', '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/coco_180k.py'
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmreviewkd.MobileNetV2Stages',
        out_indices=(1, 2, 4, 6),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://mmdet/mobilenet_v2')),
    neck=dict(in_channels=[24, 32, 96, 320]))
