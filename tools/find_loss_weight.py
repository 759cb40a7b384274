"""Find the loss weights of a distillation by short trainings that are validated on held-out training images.

Finished trainings are not repeated; an interrupted one is resumed.
"""

import argparse

from rich.console import Console

from mmreviewkd.apis import find_loss_weight
from mmreviewkd.apis.arguments import ConfigOptions
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='the config of a distillation: a file, or package::path/of/config.py')
    parser.add_argument('--weights', type=float, nargs='+', help="default: 0.1, 0.3, 1, 3 and 10 times the config's")
    parser.add_argument('--key', help='the config key of the only weight to find; default: those of all losses in turn')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1], help='default: 0 1')
    parser.add_argument(
        '--length', type=float, default=0.25, help="share of the config's schedule to train; default: 0.25")
    validation = parser.add_mutually_exclusive_group()
    validation.add_argument(
        '--held-out', type=float, default=0.1, help='share of the training images to validate on; default: 0.1')
    validation.add_argument(
        '--own-validation', action='store_true',
        help="validate on the config's val_dataloader, which must not be the test data")
    parser.add_argument('--metric', help='the metric that chooses; default: the first number reported')
    parser.add_argument(
        '--lower-is-better', action=argparse.BooleanOptionalAction,
        help="whether a lower metric is better; default: by the rule of the config's save_best, else by its name")
    parser.add_argument('--work-dir', help='the folder for the trainings; default: work_dirs/CONFIG_NAME_loss_weight')
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, help="settings that override the config's: a.b=1 c='[2,3]'")
    args = parser.parse_args()
    with one_line_errors():
        searches = find_loss_weight(**vars(args))
        for search in searches:
            Console().print(search.table())
        if searches[-1].helps:
            print(' '.join(f'{search.key}={search.best:g}' for search in searches))
        else:
            print('The student alone was best: at this length no weight helped.')


if __name__ == '__main__':
    main()
