# RetinaNet R50-FPN distilled from R101-FPN. In the paper: 36.15 -> 38.48 box AP.
_base_ = 'retinanet_r50_fpn.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=['neck']),
    teacher=dict(
        model='mmdet::retinanet/retinanet_r101-caffe_fpn_ms-3x_coco.py',
        checkpoint='metafile',
        taps=['neck']),
    connector=dict(type='ReviewConnector', mid_channels=256),  # the authors' width
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=1.0))  # the authors' weight, without warm-up
custom_hooks = [dict(type='mmreviewkd.ExportStudentHook')]
