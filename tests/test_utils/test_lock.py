"""One training per work dir."""

import signal
import subprocess
import sys

import pytest

from mmreviewkd.utils.errors import ConfigError
from mmreviewkd.utils.lock import locked_work_dir

# Holds the lock, with a child as a data worker would be.
HOLDER = '''
import os, sys, time
from mmreviewkd.utils.lock import locked_work_dir
with locked_work_dir(sys.argv[1]):
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(60)
'''


@pytest.mark.slow
def test_a_second_training_is_refused_and_a_killed_one_holds_no_lock(tmp_path):
    holder = subprocess.Popen([sys.executable, '-c', HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    child = int(holder.stdout.readline())
    try:
        message = f'in use by another training .process {holder.pid} '
        with pytest.raises(ConfigError, match=message), locked_work_dir(str(tmp_path)):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    try:
        with locked_work_dir(str(tmp_path)):  # though the child lives
            pass
    finally:
        subprocess.run(['kill', '-9', str(child)], check=True)
