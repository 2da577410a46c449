"""Interrupts `whalec compile` at many moments: its folder is whole or not there."""
import os
import shutil
import signal
import subprocess
import sys
import time

model, plan, folder = sys.argv[1:]
command = ["whalec", "compile", model, "--plan", plan, "-o", folder + "/programs"]
shutil.rmtree(folder, ignore_errors=True)
os.mkdir(folder)
start = time.monotonic()
subprocess.run(command, check=True)
full = time.monotonic() - start
ended = set()
for i in range(8):
    shutil.rmtree(folder + "/programs", ignore_errors=True)
    process = subprocess.Popen(command)
    time.sleep(full * (i + 1) / 8)
    process.send_signal(signal.SIGTERM)
    ended.add(process.wait())
    left = os.listdir(folder)
    assert left in ([], ["programs"]), left
    if left:
        subprocess.run(["whalec", "verify", folder + "/programs"], check=True,
                       capture_output=True)
assert ended <= {0, -signal.SIGTERM}, ended
assert -signal.SIGTERM in ended, "was never interrupted"
