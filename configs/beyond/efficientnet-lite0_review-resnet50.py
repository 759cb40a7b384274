# A backbone of timm in mmpretrain's wrapper, distilled from ResNet-50. Needs timm.
_base_ = 'efficientnet-lite0.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    student=dict(
        model=_base_.model,
        taps=[
            'backbone.timm_model.blocks[1]', 'backbone.timm_model.blocks[2]', 'backbone.timm_model.blocks[4]',
            'backbone.timm_model.blocks[6]', 'neck'
        ],
        logits='head.fc'),
    teacher=dict(
        model='mmpretrain::resnet/resnet50_8xb32_in1k.py',
        checkpoint='metafile',
        taps=[
            'backbone.layer1[-1].relu:input', 'backbone.layer2[-1].relu:input', 'backbone.layer3[-1].relu:input',
            'backbone.layer4[-1].relu:input', 'neck'
        ],
        logits='head.fc'),
    connector=dict(type='ReviewConnector', mid_channels=256),
    distill_loss=dict(type='PearsonCorrelationLoss', loss_weight=30.0),
    logit_loss=dict(type='LogitDistillationLoss', temperature=4.0, loss_weight=3.0),
    warmup_ratio=0.05)
custom_hooks = [dict(type='mmreviewkd.ExportStudentHook')]
