# For 500 images, 8 batches of 64 per epoch. With twice as many epochs the student alone gains one point.
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True))
param_scheduler = dict(
    type='OneCycleLR', eta_max=0.1, total_steps=150, pct_start=0.3, by_epoch=True, convert_to_iter_based=True)
train_cfg = dict(by_epoch=True, max_epochs=150, val_interval=75)
val_cfg = dict()
test_cfg = dict()
