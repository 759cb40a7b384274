# The student, distilled by the review path with the loss of PKD, which suits these detectors better than HCL.
_base_ = 'retinanet_r18.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=['neck']),
    teacher=dict(
        model='mmreviewkd::fashion_scenes/mask-rcnn_r34.py',
        checkpoint='work_dirs/mask-rcnn_r34/epoch_8.pth',
        taps=['neck']),
    connector=dict(type='ReviewConnector', mid_channels=32),
    distill_loss=dict(type='PearsonCorrelationLoss', loss_weight=100.0))
custom_hooks = [dict(type='mmreviewkd.ExportStudentHook')]
