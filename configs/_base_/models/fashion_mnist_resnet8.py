model = dict(
    type='ImageClassifier', _scope_='mmpretrain',
    backbone=dict(type='mmreviewkd.CIFARResNet', depth=8, widths=(4, 4, 8, 16), in_channels=1),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=16, loss=dict(type='CrossEntropyLoss')))
