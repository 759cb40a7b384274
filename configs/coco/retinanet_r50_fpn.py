# RetinaNet R50-FPN, the student alone. In the paper: 36.15 box AP.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py', '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/coco_180k.py'
]

# As in Detectron2, which the authors train with: ReLU before P7, smooth L1 with beta 0.1, half the learning rate.
model = dict(
    neck=dict(relu_before_extra_convs=True),
    bbox_head=dict(loss_bbox=dict(_delete_=True, type='SmoothL1Loss', beta=0.1, loss_weight=1.0)))
optim_wrapper = dict(optimizer=dict(lr=0.005))
