"""Export the student of a distillation as a plain config and checkpoint that do not need mmreviewkd."""

import argparse

from mmreviewkd.apis import export_student_of_checkpoint, read_config
from mmreviewkd.apis.arguments import ConfigOptions
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='the config of the distillation')
    parser.add_argument('checkpoint', help='the path or URL of one of its checkpoints')
    parser.add_argument('--out', required=True, help='the folder for student.py and student.pth')
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, help='settings that override those of the config')
    args = parser.parse_args()
    with one_line_errors():
        cfg = read_config(args.config, cfg_options=args.cfg_options)
        print(export_student_of_checkpoint(cfg, args.checkpoint, args.out))


if __name__ == '__main__':
    main()
