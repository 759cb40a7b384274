# 12,000 of the 60,000 training images, so that a CPU needs minutes. Validation: the last 10,000 training images, which
# no network here is trained on. Test: the 10,000 test images.
dataset = dict(type='FashionMNIST', data_root='data/fashion_mnist', download=False)
input_shape = (1, 28, 28)
data_preprocessor = dict(mean=[72.94], std=[90.02], num_classes=10)

train_pipeline = [
    dict(type='RandomCrop', crop_size=28, padding=2),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**dataset, split='train', indices=12000, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, split='train', indices=-10000, pipeline=[dict(type='PackInputs')]))
# mmpretrain 1.2 selects the test files by test_mode, not by split.
test_dataloader = dict(
    batch_size=500,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, split='test', test_mode=True, pipeline=[dict(type='PackInputs')]))
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator
