# RetinaNet R50-FPN, the student alone. In the paper: 36.15 box AP.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py', '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/coco_180k.py'
]

optim_wrapper = dict(optimizer=dict(lr=0.005))
