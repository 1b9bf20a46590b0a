"""How quickly commands start: CPU milliseconds (user and system), the least of several; goals in brackets.

python benchmarks/startup.py
"""

from __future__ import annotations

import resource
import subprocess
import sys

COMMANDS = {"--help": 60, "plugins": 150, "run plugin=mri_synth x=1": 400}


def cpu() -> float:
    """Seconds of all child processes so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def least(words: list[str], repeats: int = 9) -> float:
    """CPU milliseconds of the quickest of several runs."""
    times = []
    for _ in range(repeats):
        before = cpu()
        subprocess.run([sys.executable, *words], capture_output=True, check=False)
        times.append(1000 * (cpu() - before))
    return min(times)


def main() -> None:
    print(f"{least(['-c', 'pass']):6.0f} ms  python -c pass")
    for command, goal in COMMANDS.items():
        print(f"{least(['-m', 'diffx', *command.split()]):6.0f} ms  diffx {command}  ({goal})")


if __name__ == "__main__":
    main()
