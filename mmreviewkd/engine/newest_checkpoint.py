"""Find the checkpoint of a work dir that a run resumes from."""

from collections.abc import Callable
from pathlib import Path

from mmreviewkd.utils.checkpoint import load_checkpoint
from mmreviewkd.utils.errors import CheckpointError

from .run_state import KEY


def newest_checkpoint(
        work_dir: str, warn: Callable[[str], None], out_dir: str | None = None) -> tuple[str, dict] | None:
    """Find the newest complete checkpoint that a run can resume from.

    The file named in ``last_checkpoint`` is tried first; in a copied work dir that is the copy. If it is missing or
    damaged, the other checkpoints of the run are tried, newest first, and at last the best ones with all of its state.

    Args:
        work_dir (str): The work dir.
        warn (Callable[[str], None]): Called with a message for every file that is skipped, or lies elsewhere.
        out_dir (str, optional): The folder in which the run has a folder for its checkpoints, named as the work dir.
            Defaults to None, with checkpoints in the work dir only.

    Returns:
        tuple[str, dict] or None: The path and the checkpoint's ``meta``; None if no checkpoint was ever written.

    Raises:
        CheckpointError: If there are checkpoints, but no complete one.
    """
    folders, note = [Path(work_dir)], Path(work_dir) / 'last_checkpoint'
    if out_dir is not None:
        folders.append(Path(out_dir) / folders[0].name)
    named = note.read_text(errors='replace').strip('\0 \t\r\n') if note.is_file() else None
    latest = _own(Path(named), folders) if named else None
    candidates = _candidates(folders)
    if named:
        if not _is_file(latest):
            warn(f'{note} names {named}, which does not exist')
            candidates += [path for path in _candidates([latest.parent]) if path not in candidates]
        else:
            if not _within(latest, folders):
                warn(f'{note} names {named}, which lies in another folder')
            candidates = [latest, *(path for path in candidates if path.resolve() != latest.resolve())]
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
        if _is_best(path) and KEY not in found:  # has weights only
            continue
        if path != latest and (named is not None or reasons):
            warn(f'The run resumes from the newest complete checkpoint, {path}')
        return str(path), found['meta']
    if named or reasons:
        raise CheckpointError(
            f'--resume: no checkpoint in {work_dir!r} is complete'
            f'{": " + reasons[0] if reasons else ""}; name another file, or start a new training in another work dir')
    return None


def _own(named: Path, folders: list[Path]) -> Path:
    """The file of this name in the run's own folders, if there is one, else the named file itself.

    In a copied work dir, ``last_checkpoint`` names the original's file.
    """
    own = [folder / named.name for folder in folders if _is_file(folder / named.name)]
    return own[0] if own and not _within(named, folders) else named


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no name that a file can have
        return False


def _within(path: Path, folders: list[Path]) -> bool:
    return path.parent.resolve() in [folder.resolve() for folder in folders]


def _candidates(folders: list[Path]) -> list[Path]:
    """Checkpoints of a training, newest first, then the best. Those whose names start with a dot are incomplete."""
    files = [path for folder in folders for path in folder.glob('*.pth') if not path.name.startswith('.')]
    return sorted(files, key=lambda path: (not _is_best(path), path.stat().st_mtime_ns), reverse=True)


def _is_best(path: Path) -> bool:
    return path.name.startswith('best_')
