"""Levels are computed by the way that measured times, of CPUs here, show to be the fastest."""

import copy

import pytest
import torch
from mmengine.logging import MessageHub

from mmreviewkd.models import ReviewConnector
from mmreviewkd.models.connectors import measured_choice
from mmreviewkd.models.connectors.attention_based_fusion import AttentionBasedFusion
from mmreviewkd.models.connectors.fast_level import plain_level, trial
from mmreviewkd.models.connectors.measured_choice import KEY, MeasuredChoice
from mmreviewkd.ops.review_level.plan import LevelPlan, LevelShape

CPU = torch.device('cpu')
SIZES = [(16, 12), (4, 3)]


@pytest.fixture(autouse=True)
def hub():
    hub = MessageHub.get_current_instance()
    hub.runtime_info.pop(KEY, None)
    yield hub
    hub.runtime_info.pop(KEY, None)


def connector_of(choice, **settings):
    torch.manual_seed(0)
    connector = ReviewConnector([4, 6], [5, 7], 8, **settings)
    connector.measured_choice = choice
    return connector


def features(batch=4, sizes=SIZES):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, c, *size, generator=generator).requires_grad_() for c, size in zip([4, 6], sizes)]


def ways(connector, inputs=None, sizes=SIZES):
    outputs = connector(features() if inputs is None else inputs, sizes)
    nodes = [output.grad_fn.next_functions[0][0] for output in outputs]
    return ['fast' if 'FusedLevel' in type(node).__name__ else 'plain' for node in nodes]


class Clock:
    """Gives times in the order of the ways; counts how often it is asked."""

    def __init__(self, *times):
        self.times, self.asked = times, 0

    def __call__(self, run, device):
        run()
        self.asked += 1
        return self.times[(self.asked - 1) % len(self.times)]


def test_real_times_choose_a_way_once(hub):
    connector, ran = connector_of(MeasuredChoice({'cpu'})), []
    original = measured_choice.seconds

    def seconds(run, device):
        ran.append(original(run, device))
        return ran[-1]

    connector.measured_choice.seconds = seconds
    first = ways(connector)
    measured = hub.get_info(KEY)
    assert len(measured) == 2 and len(ran) == measured_choice.REPEATS * sum(map(len, measured.values()))
    assert all(0 < time < 10 for times in measured.values() for time in times.values())
    fine = next(times for key, times in measured.items() if ' 4 8 5 ' in key)
    assert set(fine) == {'plain', 'direct', 'winograd', 'composed'}
    as_fast = [name for name, time in fine.items() if time <= measured_choice.AS_FAST * min(fine.values())]
    assert first[0] == ('plain' if as_fast == ['plain'] else 'fast')
    count = len(ran)
    assert ways(connector) == first and len(ran) == count


@pytest.mark.parametrize(('times', 'way'), [
    ((1, 2, 3, 4), 'plain'), ((4, 2, 3, 3), 'fast'), ((1, 1.02, 3, 3), 'fast'), ((1, 1.05, 3, 3), 'plain')])
def test_the_least_time_wins_and_is_logged(times, way, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmreviewkd.models.connectors.review_connector.print_log', lambda message, logger: lines.append(message))
    assert ways(connector_of(MeasuredChoice({'cpu'}, Clock(*times))))[0] == way
    assert 'measured in ms: plain' in lines[-1]


def test_measuring_changes_nothing():
    plain, measured = connector_of(MeasuredChoice()), connector_of(MeasuredChoice({'cpu'}, Clock(1, 2)))
    state = torch.get_rng_state()
    for connector in (plain, measured):
        inputs = features()
        sum(output.square().mean() for output in connector(inputs, SIZES)).backward()
    assert torch.equal(torch.get_rng_state(), state)
    for (name, value), expected in zip(measured.state_dict().items(), plain.state_dict().values()):
        torch.testing.assert_close(value, expected, msg=name)
    for actual, expected in zip(measured.parameters(), plain.parameters()):
        torch.testing.assert_close(actual.grad, expected.grad, rtol=1e-4, atol=1e-6)


def test_on_cpus_nothing_is_measured_by_default(hub):
    ways(connector_of(MeasuredChoice(seconds=lambda *_: pytest.fail('measured'))))
    assert hub.get_info(KEY) is None


@pytest.mark.parametrize('settings', [
    dict(implementation='plain'), dict(implementation='fast'), dict(prefer='memory')])
def test_what_is_asked_for_is_not_measured(settings):
    found = ways(connector_of(MeasuredChoice({'cpu'}, lambda *_: pytest.fail('measured')), **settings))
    assert found == (['plain'] * 2 if settings.get('implementation') == 'plain' else ['fast'] * 2)


def test_deterministic_algorithms_exclude_a_choice_by_time():
    choice = MeasuredChoice({'cpu'})
    assert choice.applies(CPU) and not choice.applies(torch.device('cuda'))
    torch.use_deterministic_algorithms(True)
    try:
        assert not choice.applies(CPU)
    finally:
        torch.use_deterministic_algorithms(False)
    assert MeasuredChoice().applies(torch.device('cuda')) and not MeasuredChoice().applies(CPU)


def test_only_training_steps_are_measured():
    connector = connector_of(MeasuredChoice({'cpu'}, lambda *_: pytest.fail('measured')))
    with torch.no_grad():
        connector(features(), SIZES)
    connector.eval()(features(), SIZES)


def test_sizes_of_an_octave_share_their_times():
    clock = Clock(2, 1)
    connector = connector_of(MeasuredChoice({'cpu'}, clock))
    ways(connector)
    asked = clock.asked
    ways(connector, features(5))
    assert clock.asked == asked
    ways(connector, features(16))
    assert clock.asked == 2 * asked


def test_a_resumed_run_makes_the_same_choices(hub):
    first = ways(connector_of(MeasuredChoice({'cpu'}, Clock(3, 2, 1, 4))))
    stored = copy.deepcopy(hub.state_dict())
    hub.runtime_info.pop(KEY)
    hub.load_state_dict(stored)
    assert ways(connector_of(MeasuredChoice({'cpu'}, lambda *_: pytest.fail('measured')))) == first


def test_ranks_share_their_times_in_the_first_steps_only(hub, monkeypatch):
    """This rank finds the plain way faster, another one the direct one, by more."""
    gathered = []

    def gather(times):
        gathered.append(times)
        return [times, {key: {**known, 'plain': 9.0} for key, known in times.items()}]

    monkeypatch.setattr(measured_choice, 'get_world_size', lambda: 2)
    monkeypatch.setattr(measured_choice, 'all_gather_object', gather)
    clock = Clock(1, 2, 7, 7)
    connector = connector_of(MeasuredChoice({'cpu'}, clock))
    assert ways(connector)[0] == 'fast'
    assert next(iter(hub.get_info(KEY).values()))['plain'] == 5
    for _ in range(4):
        ways(connector)
    assert len(gathered) == measured_choice.SHARED_STEPS and gathered[1:] == [{}, {}]
    # A size that comes later waits for nobody: it is computed as the next one that was measured.
    asked = clock.asked
    assert ways(connector, features(16))[0] == 'fast' and clock.asked == asked


def test_a_way_without_enough_memory_is_not_chosen(monkeypatch):
    connector = connector_of(MeasuredChoice({'cpu'}, Clock(1)))
    original = measured_choice.Candidate

    def candidate(*arguments):
        found = original(*arguments)

        def trial(plan):
            def run():
                if plan.way == 'fast':
                    raise torch.cuda.OutOfMemoryError
            return run
        return found._replace(trial=trial)

    monkeypatch.setattr('mmreviewkd.models.connectors.review_connector.Candidate', candidate)
    assert ways(connector) == ['plain', 'plain']


def test_off_cpus_a_plain_level_is_computed_by_its_block_as_in_its_trial():
    block = AttentionBasedFusion(4, 4, 6, fuse=False).to('meta')
    feature = torch.randn(2, 4, 8, 8, device='meta')
    output, fused = plain_level(block, feature, None, (8, 8))
    assert type(output) is torch.Tensor and output.shape == (2, 6, 8, 8) and fused.shape == (2, 4, 8, 8)
    shape = LevelShape(2, 4, 4, 6, (8, 8), (8, 8), None, is_finest=True)
    trial(block, feature, LevelPlan('plain', '', shape, torch.float32))()
