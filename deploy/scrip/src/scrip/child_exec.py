"""Becomes another program that dies with the process that started it. Run as a script, standard library only.

    python -I -S child_exec.py <supervisor pid> <death signal> <user id> <group id> <program> <argument>...

(`-` instead of an id: stay who you are.) Linux sends the death signal when the *thread* that started this
process ends, and forgets the request when the user id changes; therefore the supervisor starts every child
from one thread that lives as long as it does, and the user is changed here, before the request. On other
systems nothing is requested: what a killed supervisor leaves behind is ended at the next start.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    supervisor, death_signal, user, group, *program = arguments
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if group != "-":
        os.setgroups([])
        os.setgid(int(group))
    if user != "-":
        os.setuid(int(user))
    if libc is not None and libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != int(supervisor):  # it died before the request was made
        sys.exit(1)
    os.execv(program[0], program)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
