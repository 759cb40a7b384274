# Neck and head of all classifiers of CIFAR-100; each config adds its backbone and channels.
model = dict(
    type='ImageClassifier', _scope_='mmpretrain',
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=100, loss=dict(type='CrossEntropyLoss')))
