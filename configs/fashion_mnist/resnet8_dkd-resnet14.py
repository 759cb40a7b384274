# The student, distilled with decoupled logits (DKD).
_base_ = './resnet8_kd-resnet14.py'

model = dict(logit_loss=dict(_delete_=True, type='DecoupledLogitLoss', loss_weight=0.3))
