# The student alone.
_base_ = [
    '../_base_/models/fashion_mnist_resnet8.py', '../_base_/datasets/fashion_mnist.py',
    '../_base_/schedules/fashion_mnist_5e.py', '../_base_/default_runtime.py'
]
