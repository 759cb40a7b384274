# A smaller teacher, with one block per stage.
_base_ = './resnet14-half.py'

model = dict(backbone=dict(depth=8))
