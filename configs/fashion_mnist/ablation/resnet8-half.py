# A smaller teacher, of one block in each stage.
_base_ = './resnet14-half.py'

model = dict(backbone=dict(depth=8))
