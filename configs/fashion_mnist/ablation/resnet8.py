# The student alone in the short schedule of the ablations: 2,000 images, one test at the end.
_base_ = '../resnet8.py'

train_dataloader = dict(batch_size=64, dataset=dict(indices=2000))
train_cfg = dict(val_interval=5)
default_hooks = dict(checkpoint=None)
