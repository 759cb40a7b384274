# The widest teacher of the ablations, trained on 12,000 images.
_base_ = [
    '../../_base_/models/fashion_mnist_resnet14.py', '../../_base_/datasets/fashion_mnist.py',
    '../../_base_/schedules/fashion_mnist_5e.py', '../../_base_/default_runtime.py'
]

train_cfg = dict(max_epochs=8, val_interval=8)
param_scheduler = dict(total_steps=8)
