# The student alone, with the ablations' short schedule: 2,000 images, 20 epochs, tested once, at the end.
_base_ = [
    '../../_base_/models/fashion_mnist_resnet8.py', '../../_base_/datasets/fashion_mnist.py',
    '../../_base_/schedules/fashion_mnist_5e.py', '../../_base_/default_runtime.py'
]

train_dataloader = dict(batch_size=64, dataset=dict(indices=2000))
val_dataloader = dict(_delete_=True, **_base_.test_dataloader)
train_cfg = dict(max_epochs=20, val_interval=20)
param_scheduler = dict(total_steps=20)
default_hooks = dict(checkpoint=None)
