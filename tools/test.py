"""Test a checkpoint of a config's model, or of the student if the model is a distiller."""

import argparse

from mmreviewkd.apis import test
from mmreviewkd.apis.arguments import parse_run_arguments
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='a config file, or package::path/of/config.py')
    parser.add_argument('checkpoint', help='the path or URL of a checkpoint')
    parser.add_argument('--out', help='the .pkl file to write predictions to')
    parser.add_argument('--show-dir', help='the folder to write images with drawn predictions to')
    parser.add_argument('--tta', action='store_true', help="average over the augmentations of the config's tta_model")
    args = parse_run_arguments(parser)
    with one_line_errors():
        test(
            args.config, args.checkpoint, work_dir=args.work_dir, out=args.out, show_dir=args.show_dir, tta=args.tta,
            cfg_options=args.cfg_options, launcher=args.launcher)


if __name__ == '__main__':
    main()
