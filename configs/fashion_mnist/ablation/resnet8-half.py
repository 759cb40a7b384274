# A smaller teacher: one block a stage.
_base_ = './resnet14-half.py'

model = dict(backbone=dict(depth=8))
