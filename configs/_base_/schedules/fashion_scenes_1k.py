# For 150 scenes, 107 epochs of batches of 16. With twice as many the student alone gains less than 2 points of mIoU.
_base_ = 'mmseg::_base_/default_runtime.py'

train_cfg = dict(type='IterBasedTrainLoop', max_iters=1000, val_interval=1000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4),
    clip_grad=dict(max_norm=10))
param_scheduler = dict(type='OneCycleLR', eta_max=0.1, total_steps=1000, pct_start=0.1, by_epoch=False)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=500, max_keep_ckpts=1))
randomness = dict(seed=0)
