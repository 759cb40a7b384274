# The student, distilled with an L2 loss between features of the same level.
_base_ = './resnet8_review-resnet14.py'

model = dict(
    connector=dict(_delete_=True, type='SameLevelConnector'),
    distill_loss=dict(_delete_=True, type='FeatureL2Loss', loss_weight=3.0))
