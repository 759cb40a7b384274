# The student, distilled with channel-wise distillation (CWD) of the logits.
_base_ = 'fpn_r18.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, logits='decode_head.conv_seg'),
    teacher=dict(
        model='mmreviewkd::fashion_scenes/fpn_r34.py', checkpoint='work_dirs/fpn_r34/iter_2000.pth',
        logits='decode_head.conv_seg'),
    distill_loss=None,
    logit_loss=dict(type='ChannelWiseDivergence', temperature=4.0, loss_weight=10.0))
custom_hooks = [dict(type='mmreviewkd.ExportStudentHook')]
