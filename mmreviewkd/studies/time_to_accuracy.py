"""How long a student trains until it is as accurate as the student alone at its end."""

from collections.abc import Sequence
from pathlib import Path

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checkpoint import save_atomically

from .benchmark.textbook import TextbookConnector, TextbookLoss
from .classification_demo import BASELINES, CONFIGS, LOGIT_KD, METRIC, PAPER_REVIEW, STUDENTS
from .demo import ALONE, REVIEW, TEACHER
from .output import fill_marks, pyplot, save_figure, write_json
from .training import Training

TEXTBOOK = f'{PAPER_REVIEW}, textbook'
MARK, END = '<!-- time to accuracy -->', '<!-- end of time to accuracy -->'
_EPOCHS_BETWEEN_VALIDATIONS = 10

for _part in (TextbookConnector, TextbookLoss):
    MODELS.register_module(module=_part)


def time_to_accuracy(out: Path, seed: int = 0, docs: Path | None = None) -> list[dict]:
    """Train the demo's students one after the other, with frequent validation; finished trainings are skipped.

    Writes ``results.json``, ``time_to_accuracy.md`` and ``time_to_accuracy.png``. Each training computes with one
    thread.

    Args:
        out (Path): The folder for all trainings.
        seed (int): The students' random seed. Defaults to 0.
        docs (Path, optional): The folder of ``benchmark.md``, to put table and picture into. Defaults to None.

    Returns:
        list[dict]: For each student, what :meth:`~mmreviewkd.studies.training.Training.run` returns, and ``minutes``
        until it is as accurate as the student alone at its end, None if it never is.

    Raises:
        ConfigError: If a training fails; the message names its log.
    """
    teacher = Training(TEACHER, f'{CONFIGS}/resnet14.py', out / 'teacher', threads=1)
    teacher.run()
    configs = {
        ALONE: STUDENTS[ALONE], LOGIT_KD: BASELINES[LOGIT_KD], TEXTBOOK: _textbook_config(out),
        PAPER_REVIEW: BASELINES[PAPER_REVIEW], REVIEW: STUDENTS[REVIEW]}
    results = []
    for name, config in configs.items():
        options = {'randomness.seed': seed, 'train_cfg.val_interval': _EPOCHS_BETWEEN_VALIDATIONS}
        if name != ALONE:
            options['model.teacher.checkpoint'] = teacher.checkpoint
        results.append(Training(name, config, out / Path(config).stem, options, threads=1).run())
    goal = accuracies(results[0])[-1][1]
    results = [{**result, 'minutes': minutes_until(result, goal)} for result in results]
    write_json(results, out / 'results.json')
    table = results_table(results)
    save_atomically(lambda path: Path(path).write_text(table, encoding='utf-8'), out / 'time_to_accuracy.md')
    for folder in (out, *([docs] if docs else [])):
        plot(results, folder / 'time_to_accuracy.png')
    if docs:
        fill_marks(docs / 'benchmark.md', {MARK: f'\n{table}'}, END)
    return results


def accuracies(result: dict) -> list[tuple[float, float]]:
    """Pairs of minutes of training and accuracy, one for each validation of a run; data loading counts as training.

    Args:
        result (dict): What :meth:`~mmreviewkd.studies.training.Training.run` returned.
    """
    validations = result['curve']['validation'][METRIC]
    last = validations[-1][0]
    return [(result['train_minutes'] * epoch / last, accuracy) for epoch, accuracy in validations]


def minutes_until(result: dict, goal: float) -> float | None:
    """Minutes of training before the first validation that reaches an accuracy; None if none does."""
    return next((minutes for minutes, accuracy in accuracies(result) if accuracy >= goal), None)


def results_table(results: Sequence[dict]) -> str:
    """A Markdown table with a row for each student; the first one is the student alone."""
    lines = [
        '| | minutes to the accuracy of the student alone | ratio | minutes to the end | ratio | top-1 (%) there |',
        '|---|---|---|---|---|---|']
    whole = results[0]['train_minutes']
    for result in results:
        end, reached = result['train_minutes'], result['minutes']
        first = '– | –' if reached is None else f'{reached:.2f} | {reached / whole:.2f}'
        lines.append(
            f'| {result["name"]} | {first} | {end:.2f} | {end / whole:.2f} | {accuracies(result)[-1][1]:.2f} |')
    return '\n'.join(lines) + '\n'


def plot(results: Sequence[dict], file: Path) -> None:
    """Plot accuracy against minutes of training, with a line at the accuracy of the student alone."""
    figure, axes = pyplot().subplots(figsize=(7, 4), layout='constrained')
    for result in results:
        axes.plot(*zip(*accuracies(result)), marker='.', label=result['name'])
    axes.axhline(accuracies(results[0])[-1][1], color='black', linewidth=0.8, linestyle=':')
    axes.set(xlabel='minutes of training', ylabel='top-1 (%), validation images')
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, file)


def _textbook_config(out: Path) -> str:
    """Write a config of the paper's distillation with connector and loss of the textbook, and return its path."""
    file = out / 'textbook.py'
    text = '\n'.join([
        f'_base_ = [{str(Path(BASELINES[PAPER_REVIEW]).resolve())!r}]',
        f'custom_imports = dict(imports=[{__name__!r}])',
        f'model = dict(connector=dict(type={TextbookConnector.__name__!r}), '
        f'distill_loss=dict(type={TextbookLoss.__name__!r}))', ''])
    out.mkdir(parents=True, exist_ok=True)
    save_atomically(lambda path: Path(path).write_text(text, encoding='utf-8'), file)
    return str(file)
