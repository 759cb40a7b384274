# The student alone, trained on 500 images.
_base_ = [
    '../_base_/models/fashion_mnist_resnet8.py', '../_base_/datasets/fashion_mnist.py',
    '../_base_/schedules/fashion_mnist_150e.py', '../_base_/default_runtime.py'
]

model = dict(backbone=dict(widths=(8, 8, 16, 32)), head=dict(in_channels=32))
train_dataloader = dict(batch_size=64, dataset=dict(indices=500))
default_hooks = dict(checkpoint=dict(interval=50))
