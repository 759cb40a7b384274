"""Train the model of a config: a distiller, or any other model."""

import argparse

from mmreviewkd.apis import train
from mmreviewkd.apis.arguments import parse_run_arguments
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='a config file, or package::path/of/config.py')
    parser.add_argument(
        '--resume', nargs='?', const=True, default=False,
        help='resume from this checkpoint, or, without a path, from the latest one in the work dir')
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument(
        '--auto-scale-lr', action='store_true',
        help="scale the learning rate to the batch size, as the config's auto_scale_lr says")
    parser.add_argument('--no-validate', action='store_true', help='do not evaluate while training')
    args = parse_run_arguments(parser)
    with one_line_errors():
        train(
            args.config, work_dir=args.work_dir, resume=args.resume, amp=args.amp, auto_scale_lr=args.auto_scale_lr,
            validate=not args.no_validate, cfg_options=args.cfg_options, launcher=args.launcher)


if __name__ == '__main__':
    main()
