_base_ = ['_base_/fashion_scenes.py', '_base_/schedule.py', '_base_/mask-rcnn_small.py']
