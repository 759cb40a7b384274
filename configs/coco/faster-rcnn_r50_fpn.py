# Faster R-CNN R50-FPN, the student alone. In the paper: 37.93 box AP.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py', '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/coco_180k.py'
]
