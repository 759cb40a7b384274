# Mask R-CNN R18-FPN distilled from R101-FPN.
_base_ = 'mask-rcnn_r18_fpn.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=['neck']),
    teacher=dict(
        model='mmdet::mask_rcnn/mask-rcnn_r101-caffe_fpn_ms-poly-3x_coco.py',
        checkpoint='metafile',
        taps=['neck']),
    connector=dict(type='ReviewConnector', mid_channels=256),  # the authors' width
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=1.5))  # the authors' weight, without warm-up
custom_hooks = [dict(type='mmreviewkd.ExportStudentHook')]
