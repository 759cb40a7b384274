# DeepLabV3+ R18 distilled from R101 on ADE20K. The metafile of mmsegmentation 1.2.2 lists this teacher twice; the first
# entry, which counts, has the weights of 80k iterations, 44.6 mIoU (the second those of 160k, 45.47).
_base_ = 'deeplabv3plus_r18-512x512.py'

taps = ['backbone.layer1', 'backbone.layer2', 'backbone.layer3', 'backbone.layer4', 'decode_head.bottleneck']
model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=taps),
    teacher=dict(
        model='mmseg::deeplabv3plus/deeplabv3plus_r101-d8_4xb4-160k_ade20k-512x512.py',
        checkpoint='metafile',
        taps=taps),
    connector=dict(type='ReviewConnector', mid_channels=512),
    distill_loss=dict(type='HierarchicalContextLoss', loss_weight=1.0))  # not tuned: the authors' weight on ImageNet
custom_hooks = [dict(type='mmreviewkd.ExportStudentHook')]
