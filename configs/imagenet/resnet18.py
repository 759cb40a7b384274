# The student alone. mmpretrain's config has the authors' schedule: SGD, learning rate 0.1, batches of 256 (8 GPUs
# of 32), divided by ten after 30, 60 and 90 of 100 epochs. In the paper: 69.75 top-1.
_base_ = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'

# Initialized as torchvision's ResNet-18, which the authors train: no zeros in the residual branches, and PyTorch's own
# initialization of the classifier.
model = dict(backbone=dict(zero_init_residual=False), head=dict(init_cfg=None))
