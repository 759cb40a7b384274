# MobileNetV2 distilled from a DeiT: the patch tokens of every third layer as maps of 14 x 14 pixels, and the class
# token, the output of the DeiT's backbone, as the pooled level.
_base_ = 'mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(
        model=_base_.model,
        taps=['backbone.layer2', 'backbone.layer3', 'backbone.layer5', 'backbone.layer7', 'neck'],
        logits='head.fc'),
    teacher=dict(
        model='mmpretrain::deit/deit-small_4xb256_in1k.py',
        checkpoint='metafile',
        taps=[
            dict(type='TokensToMap', tap='backbone.layers[2]', num_extra_tokens=1),
            dict(type='TokensToMap', tap='backbone.layers[5]', num_extra_tokens=1),
            dict(type='TokensToMap', tap='backbone.layers[8]', num_extra_tokens=1),
            dict(type='TokensToMap', tap='backbone.layers[11]', num_extra_tokens=1), 'backbone'
        ],
        logits='head.layers.head'),
    connector=dict(type='ReviewConnector', mid_channels=256),
    distill_loss=dict(type='PearsonCorrelationLoss', loss_weight=30.0),
    logit_loss=dict(type='LogitDistillationLoss', temperature=4.0, loss_weight=3.0),
    warmup_ratio=0.05)
custom_hooks = [dict(type='mmreviewkd.ExportStudentHook')]
