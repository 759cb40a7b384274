# PSPNet R18 distilled from R101 on Cityscapes. In mmsegmentation's zoo: R18 74.87, R101 79.76 mIoU.
_base_ = 'mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'

taps = ['backbone.layer1', 'backbone.layer2', 'backbone.layer3', 'backbone.layer4', 'decode_head.bottleneck']
model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=taps),
    teacher=dict(
        model='mmseg::pspnet/pspnet_r101-d8_4xb2-80k_cityscapes-512x1024.py',
        checkpoint='metafile',
        taps=taps),
    connector=dict(type='ReviewConnector', mid_channels=512),
    distill_loss=dict(type='PearsonCorrelationLoss', loss_weight=30.0),  # not tuned: the start in docs/guide.md
    warmup_ratio=0.05)
custom_hooks = [dict(type='mmreviewkd.ExportStudentHook')]
