# DeepLabV3+ R18 distilled from R101 on Cityscapes. In mmsegmentation's zoo: R18 76.89, R101 80.97 mIoU.
_base_ = 'mmseg::deeplabv3plus/deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024.py'

taps = ['backbone.layer1', 'backbone.layer2', 'backbone.layer3', 'backbone.layer4', 'decode_head.bottleneck']
model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=taps),
    teacher=dict(
        model='mmseg::deeplabv3plus/deeplabv3plus_r101-d8_4xb2-80k_cityscapes-512x1024.py',
        checkpoint='metafile',
        taps=taps),
    connector=dict(type='ReviewConnector', mid_channels=512),
    distill_loss=dict(type='PearsonCorrelationLoss', loss_weight=30.0),  # not tuned: the start in docs/guide.md
    warmup_ratio=0.05)
custom_hooks = [dict(type='mmreviewkd.ExportStudentHook')]
