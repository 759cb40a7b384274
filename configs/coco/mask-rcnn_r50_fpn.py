# Mask R-CNN R50-FPN, the student alone.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py', '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/coco_180k.py'
]
