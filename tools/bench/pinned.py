"""Runs a command on one core and says what it took."""
import os
import subprocess
import sys


def pinned(arguments, cpu):
    """Output, processor seconds and peak bytes of a command on one core, with
    one thread in its libraries. Ends this program where the command fails."""
    child = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
    text = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"error: '{' '.join(arguments)}' ended with "
                 f"{child.returncode}")
    return text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
