# The student on its own, with the ablations' short schedule: 2,000 images, tested once, at the end.
_base_ = '../resnet8.py'

train_dataloader = dict(batch_size=64, dataset=dict(indices=2000))
train_cfg = dict(val_interval=5)
default_hooks = dict(checkpoint=None)
