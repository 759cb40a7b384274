"""Start the processes of a run as torchrun does; a process that fails ends the run with one line, not a traceback."""

import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

if __name__ == '__main__':
    try:
        main()
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        reason = f'was ended by signal {-code}' if code < 0 else f'ended with exit code {code}'
        print(f'error: process {rank} of the run {reason}; its last lines above say why', file=sys.stderr)
        sys.exit(1 if code < 0 else code)
    except SignalException as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(128 + error.sigval)
