# The student alone, by mmpretrain's config, which is the authors' recipe: SGD with learning rate 0.1 and batches of 256
# (8 GPUs of 32), divided by ten after 30, 60 and 90 of 100 epochs. In the paper: 69.75 top-1.
_base_ = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'
