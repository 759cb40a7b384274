model = dict(
    type='ImageClassifier', _scope_='mmpretrain',
    backbone=dict(type='mmreviewkd.CIFARResNet', depth=14, widths=(16, 16, 32, 64), in_channels=1),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64, loss=dict(type='CrossEntropyLoss')))
