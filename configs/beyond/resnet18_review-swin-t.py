# ResNet-18 distilled from a Swin Transformer, whose first three stages output tokens.
_base_ = '../imagenet/resnet18_review-resnet34.py'

model = dict(
    student=dict(logits='head.fc'),
    teacher=dict(
        model='mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py',
        taps=[
            dict(type='TokensToMap', tap='backbone.stages[0].blocks[-1]'),
            dict(type='TokensToMap', tap='backbone.stages[1].blocks[-1]'),
            dict(type='TokensToMap', tap='backbone.stages[2].blocks[-1]'), 'backbone', 'neck'
        ],
        logits='head.fc'),
    distill_loss=dict(type='PearsonCorrelationLoss', loss_weight=30.0),
    logit_loss=dict(type='LogitDistillationLoss', temperature=4.0, loss_weight=3.0),
    warmup_ratio=0.05)
