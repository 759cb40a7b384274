# The student, distilled by the Pearson correlation of features of the same level (PKD).
_base_ = './resnet8_l2-resnet14.py'

model = dict(distill_loss=dict(_delete_=True, type='PearsonCorrelationLoss', loss_weight=10.0))
