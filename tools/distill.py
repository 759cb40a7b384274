"""Distil a pair of your own: propose the taps, try one step, write the config, and optionally train it."""

import argparse

from mmreviewkd.apis import distill
from mmreviewkd.apis.arguments import ConfigOptions
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('student', help="the student's own config: a file, or package::path/of/config.py")
    parser.add_argument('teacher', help="the teacher's config, likewise")
    parser.add_argument(
        'checkpoint', help="the teacher's weights: a file, a URL, 'metafile' (as its package names them) or 'init_cfg'")
    parser.add_argument('--out', metavar='CONFIG', help='the config to write; default: STUDENT_review-TEACHER.py here')
    parser.add_argument('--force', action='store_true', help='overwrite the config if it exists')
    parser.add_argument('--train', action='store_true', help='train the written config')
    parser.add_argument('--work-dir', help='the folder for logs and checkpoints of the training')
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, help="settings that the config adds: a.b=1 c='[2,3]'")
    args = parser.parse_args()
    with one_line_errors():
        distill(**vars(args))


if __name__ == '__main__':
    main()
