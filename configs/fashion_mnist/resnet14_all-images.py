# A teacher of twice the width, trained on all 60,000 images, reduced to 7 x 7 pixels.
_base_ = './resnet14.py'

model = dict(backbone=dict(widths=(16, 16, 32, 64)), head=dict(in_channels=64))
input_shape = (1, 7, 7)
resize = dict(type='Resize', scale=7, backend='cv2', interpolation='area')
train_dataloader = dict(
    batch_size=256,
    dataset=dict(
        indices=None,
        pipeline=[
            resize,
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PackInputs'),
        ]))
test_pipeline = [resize, dict(type='PackInputs')]
val_dataloader = dict(dataset=dict(split='test', test_mode=True, indices=None, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
train_cfg = dict(max_epochs=20, val_interval=20)
param_scheduler = dict(total_steps=20)
