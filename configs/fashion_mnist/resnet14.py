# The teacher.
_base_ = [
    '../_base_/models/fashion_mnist_resnet14.py', '../_base_/datasets/fashion_mnist.py',
    '../_base_/schedules/fashion_mnist_8e.py', '../_base_/default_runtime.py'
]
