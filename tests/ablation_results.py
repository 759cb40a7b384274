"""Results of a small ablation study, one of its variants unfinished."""

RESULTS = dict(
    metric='top-1 (%)', seeds=[0, 1], tuning_seeds=[7, 8], trainings=5,
    cpu_minutes=3.4, wall_minutes=5.6, versions=dict(torch='2'),
    teachers=[dict(config='t.py', score=90.123, parameters=12345, flops=2_500_000)],
    tunings=[dict(variant='ours', weights={'w': weight}, seed=seed, score=score)
             for weight, seed, score in [(1.0, 7, 60.04), (1.0, 8, 63.0), (3.0, 7, 61.0), (3.0, 8, 62.3)]],
    variants={
        'alone': dict(options={}, weights={}, score={'0': 50.0, '1': 52.0}),
        'ours': dict(options={}, weights={'w': 3.0}, score={'0': 55.0, '1': 54.0}),
        'fixed': dict(options={'model.distill_loss.loss_weight': 100.0}, weights={}, score={'0': 49.0, '1': 51.0}),
        'broken': dict(options={}, weights={'w': 3.0}, score={'0': 55.0, '1': None}),
        'half done': dict(options={}, weights={'w': 3.0}, score={'0': 55.0}),
    })
