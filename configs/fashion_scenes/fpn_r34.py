# The teacher, a deeper and twice as wide segmentor that has seen all scenes.
_base_ = 'fpn_r18.py'

model = dict(
    backbone=dict(depth=34, stem_channels=16, base_channels=16),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=32),
    decode_head=dict(in_channels=[32, 32, 32, 32], channels=32))
train_dataloader = dict(dataset=dict(indices=None))
train_cfg = dict(max_iters=2000, val_interval=2000)
param_scheduler = dict(total_steps=2000)
