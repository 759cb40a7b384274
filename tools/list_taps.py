"""List the modules of a model that can be tapped, with shape, stride and order of their features."""

import argparse

from rich.console import Console
from rich.table import Table

from mmreviewkd.apis import list_taps
from mmreviewkd.apis.arguments import positive
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='a config file, or package::path/of/config.py; of a distillation, its student')
    parser.add_argument('--grep', default='', metavar='TEXT', help='only taps and module classes that contain this')
    parser.add_argument(
        '--size', type=positive, nargs='+', metavar='PIXELS',
        help='height and width, or the side of a square, of the image the model is run on; default: as in training')
    args = parser.parse_args()
    if args.size and len(args.size) > 2:
        parser.error('--size: give one or two numbers of pixels')
    with one_line_errors():
        found = list_taps(args.config, args.size and (args.size[0], args.size[-1]))
    channels, height, width = found.image
    table = Table(title=f'{args.config}: features of an image of {channels} x {height} x {width}', title_justify='left')
    for column in ('order', 'stride', 'tap', 'class', 'kind', 'channels', 'size', 'before the last ReLU'):
        table.add_column(column, overflow='fold')
    for f in found.features:
        if args.grep.lower() in f'{f.tap} {f.type}'.lower():
            extra = f' + {f.num_extra_tokens}' if f.num_extra_tokens else ''
            table.add_row(
                str(f.order), f'{f.stride:g}', f.tap, f.type, f.kind + extra, str(f.channels),
                f'{f.size[0]} x {f.size[1]}', f.before_relu or '', style=None if f.composite else 'dim')
    Console().print(table)


if __name__ == '__main__':
    main()
