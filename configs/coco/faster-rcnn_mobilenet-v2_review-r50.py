# Faster R-CNN MobileNetV2-FPN distilled from R50-FPN. In the paper: 29.47 -> 33.71 box AP.
_base_ = 'faster-rcnn_mobilenet-v2_fpn.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=['neck']),
    teacher=dict(
        model='mmdet::faster_rcnn/faster-rcnn_r50_fpn_ms-3x_coco.py',
        checkpoint='metafile',
        taps=['neck']),
    connector=dict(type='ReviewConnector', mid_channels=256),  # the authors' width
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=2.0))  # the authors' weight, without warm-up
custom_hooks = [dict(type='mmreviewkd.ExportStudentHook')]
