# SegFormer B0 distilled from B2 on ADE20K. In mmsegmentation's zoo: B0 37.41, B2 45.58 mIoU.
_base_ = 'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'

taps = ['backbone']  # the four stages, of strides 4 to 32
model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(model=_base_.model, taps=taps),
    teacher=dict(
        model='mmseg::segformer/segformer_mit-b2_8xb2-160k_ade20k-512x512.py',
        checkpoint='metafile',
        taps=taps),
    connector=dict(type='ReviewConnector', mid_channels=256),
    distill_loss=dict(type='PearsonCorrelationLoss', loss_weight=30.0),  # not tuned: the start in docs/guide.md
    warmup_ratio=0.05)
custom_hooks = [dict(type='mmreviewkd.ExportStudentHook')]
