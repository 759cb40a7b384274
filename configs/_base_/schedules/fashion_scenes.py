# Four epochs from scratch; teacher, lone student and distilled student alike.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=4, val_interval=4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05), clip_grad=dict(max_norm=10))
param_scheduler = dict(type='OneCycleLR', eta_max=2e-3, total_steps=4, by_epoch=True, convert_to_iter_based=True)
randomness = dict(seed=0)
