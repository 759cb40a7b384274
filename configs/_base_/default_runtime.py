default_scope = 'mmpretrain'
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=20),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=1))
custom_hooks = [dict(type='mmreviewkd.ChannelsLastHook')]
randomness = dict(seed=0)
