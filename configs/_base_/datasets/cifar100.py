# mmpretrain's CIFAR-100 (downloaded if missing) with the authors' normalization and augmentation.
dataset = dict(type='CIFAR100', data_root='data/cifar100')
# The images are read as RGB, so channels are not converted.
data_preprocessor = dict(mean=[125.3, 123.0, 113.9], std=[63.0, 62.1, 66.7], num_classes=100)

train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**dataset, split='train', pipeline=train_pipeline))

test_dataloader = dict(
    batch_size=500,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, split='test', pipeline=[dict(type='PackInputs')]))
val_dataloader = test_dataloader
test_evaluator = dict(type='Accuracy', topk=(1, 5))
val_evaluator = test_evaluator
