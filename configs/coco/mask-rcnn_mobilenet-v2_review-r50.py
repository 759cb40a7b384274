# Mask R-CNN MobileNetV2-FPN distilled from R50-FPN.
_base_ = 'mask-rcnn_mobilenet-v2_fpn.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=['neck']),
    teacher=dict(
        model='mmdet::mask_rcnn/mask-rcnn_r50_fpn_ms-poly-3x_coco.py',
        checkpoint='metafile',
        taps=['neck']),
    connector=dict(type='ReviewConnector', mid_channels=256),  # the authors' width
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=1.0))  # the authors' weight, without warm-up
custom_hooks = [dict(type='mmreviewkd.ExportStudentHook')]
