# ResNet-18 distilled from an HRNet, whose backbone returns its four parallel branches, each of which is a level.
_base_ = '../imagenet/resnet18_review-resnet34.py'

model = dict(
    student=dict(logits='head.fc'),
    teacher=dict(
        model='mmpretrain::hrnet/hrnet-w18_4xb32_in1k.py', taps=['backbone', 'neck'], logits='head.fc'),
    distill_loss=dict(type='PearsonCorrelationLoss', loss_weight=30.0),
    logit_loss=dict(type='LogitDistillationLoss', temperature=4.0, loss_weight=3.0),
    warmup_ratio=0.05)
