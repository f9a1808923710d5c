"""Run a command given as arguments; print its exit code, seconds, seconds of CPU and peak memory (bytes) as JSON.

A script of its own, because a new process on Linux starts with the peak memory of the
process that made it: this one is small (11 MiB, which no measurement falls below).
"""

import json
import os
import subprocess
import sys
import time

if __name__ == "__main__":
    start = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    code = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    print(json.dumps({"code": code, "seconds": seconds, "cpu": cpu, "peak": usage.ru_maxrss * 1024}))
