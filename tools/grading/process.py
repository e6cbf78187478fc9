"""The process of one submission: python -m tools.grading.process, with a job as its input.

It reports into its standard output, two lines an exercise: [number, when it began] and
[number, verdict]. It ends itself when an exercise takes too long: the timer is a thread of C, so
a loop without end cannot hold it up.
"""

import faulthandler
import json
import os
import sys
import time
from pathlib import Path

from tools.grading.exercises import Exercises
from tools.grading.student import Student


def main() -> None:
    job = json.load(sys.stdin)
    channel, null = os.dup(1), os.open(os.devnull, os.O_RDWR)

    def report(what):
        os.write(channel, f"{json.dumps(what)}\n".encode())

    os.dup2(null, 0), os.dup2(null, 1)
    faulthandler.dump_traceback_later(job["setup_limit"], exit=True)
    student = Student(Exercises(Path(job["notebook"])), job["code"])
    os.dup2(null, 2)  # up to here an exception belongs into the log
    for number, source in enumerate(job["sources"], start=1):
        report([number, time.monotonic()])
        faulthandler.dump_traceback_later(job["limit"], exit=True, file=null)
        report([number, student.verdict(number, source)[:2000]])
    os._exit(0)  # threads of the submission are not waited for


if __name__ == "__main__":
    main()
