# The teacher, which has seen 40,000 images. A process of their own loads them beside the training.
_base_ = [
    '../_base_/models/fashion_mnist_resnet14.py', '../_base_/datasets/fashion_mnist.py',
    '../_base_/schedules/fashion_mnist_5e.py', '../_base_/default_runtime.py'
]

model = dict(backbone=dict(widths=(8, 8, 16, 32)), head=dict(in_channels=32))
train_dataloader = dict(num_workers=1, persistent_workers=True, dataset=dict(indices=40000))
train_cfg = dict(max_epochs=3, val_interval=3)
param_scheduler = dict(total_steps=3)
