"""Find the checkpoint of a work dir that a run resumes from."""

from collections.abc import Callable
from pathlib import Path

from mmreviewkd.utils.checkpoint import load_checkpoint
from mmreviewkd.utils.errors import CheckpointError


def newest_checkpoint(work_dir: str, warn: Callable[[str], None]) -> tuple[str, dict] | None:
    """Find the newest complete checkpoint that a run can resume from.

    The file named in ``last_checkpoint`` is tried first. If it is missing or damaged, the other checkpoints of the work
    dir are tried, newest first.

    Args:
        work_dir (str): The work dir.
        warn (Callable[[str], None]): Called with a message for every file that is skipped.

    Returns:
        tuple[str, dict] or None: The path and the checkpoint's ``meta``; None if no checkpoint was ever written.

    Raises:
        CheckpointError: If there are checkpoints, but no complete one.
    """
    folder, note = Path(work_dir), Path(work_dir) / 'last_checkpoint'
    named = note.read_text(errors='replace').strip('\0 \t\r\n') if note.is_file() else None
    candidates = _candidates(folder)
    if named:
        if not Path(named).is_file():
            warn(f'{note} names {named}, which does not exist')
            candidates += [path for path in _candidates(Path(named).parent) if path not in candidates]
        else:
            candidates = [Path(named), *(path for path in candidates if path.resolve() != Path(named).resolve())]
    elif named == '':
        warn(f'{note} is empty')
    reasons = []
    for path in candidates:
        try:
            found = load_checkpoint(str(path), where='--resume')
        except CheckpointError as error:
            reasons.append(str(error))
            warn(f'{path} is passed over: {error}')
            continue
        if not isinstance(found.get('meta'), dict) or 'state_dict' not in found:
            continue
        if str(path) != named and (named is not None or reasons):
            warn(f'The run resumes from the newest complete checkpoint, {path}')
        return str(path), found['meta']
    if named or reasons:
        raise CheckpointError(
            f'--resume: no checkpoint in {work_dir!r} is complete'
            f'{": " + reasons[0] if reasons else ""}; name another file, or start a new training in another work dir')
    return None


def _candidates(folder: Path) -> list[Path]:
    """Checkpoints of a training, newest first. Files whose names start with a dot were never completed."""
    files = [path for path in folder.glob('*.pth') if not path.name.startswith(('.', 'best_'))]
    return sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)
