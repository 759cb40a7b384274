# ResNet-18 distilled from a Swin Transformer, whose first three stages output tokens.
_base_ = '../imagenet/resnet18_review-resnet34.py'

model = dict(
    teacher=dict(
        model='mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py',
        taps=[
            dict(type='TokensToMap', tap='backbone.stages[0].blocks[-1]'),
            dict(type='TokensToMap', tap='backbone.stages[1].blocks[-1]'),
            dict(type='TokensToMap', tap='backbone.stages[2].blocks[-1]'), 'backbone', 'neck'
        ]))
