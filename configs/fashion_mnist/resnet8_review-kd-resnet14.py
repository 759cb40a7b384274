# The student, distilled with Knowledge Review, whose levels are compared by the loss of PKD, and with logit KD.
_base_ = './resnet8_review-resnet14.py'

model = dict(
    student=dict(logits='head.fc'),
    teacher=dict(logits='head.fc'),
    distill_loss=dict(type='PearsonCorrelationLoss', loss_weight=30.0),
    logit_loss=dict(type='LogitDistillationLoss', temperature=4.0, loss_weight=3.0))
