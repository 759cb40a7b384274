# The teacher of most ablations: the widest one at half its width.
_base_ = './resnet14-wide.py'

model = dict(backbone=dict(widths=(8, 8, 16, 32)), head=dict(in_channels=32))
