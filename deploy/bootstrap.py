#!/usr/bin/env python3
"""Makes `.venv` from `requirements.lock` with venv and pip alone. Standard library only, and only such
language as an old Python can read, so that it can say in words when a Python is too old.

    python3 deploy/bootstrap.py

Does nothing when the stamp in `.venv` names the lock, the packages' own requirements and the place of the
checkout.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys

OLDEST = (3, 11)
TOO_NEW = (3, 14)
MEMBERS = (
    "libs/contracts",
    "libs/messaging",
    "libs/dialects",
    "libs/process",
    "services/gateway",
    "services/coupon-core",
    "services/merchant-adapter",
    "services/scheduler",
    "deploy/scrip",
)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "scrip-setup")
LOG = os.path.join(VENV, "scrip-setup.log")
NETWORK_WORDS = (
    "NewConnectionError",
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Name or service not known",
    "Network is unreachable",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "Connection refused",
)


def main():
    # type: () -> None
    if not OLDEST <= sys.version_info[:2] < TOO_NEW:
        use_another_python()
    wanted = fingerprint()
    if stamped() == wanted:
        return
    make_venv()
    packages = len(re.findall(r"(?m)^[a-z0-9]", read(os.path.join(ROOT, "requirements.lock"))))
    say("Installing %d packages into .venv (about 270 MB, once) ..." % packages)
    run_pip(["install", "--require-hashes", "-r", "requirements.lock"], packages)
    say("Installing Scrip's own %d packages ..." % len(MEMBERS))
    own = []
    for member in MEMBERS:
        own += ["-e", os.path.join(".", member)]
    run_pip(["install", "--no-deps", "--no-build-isolation"] + own, len(MEMBERS))
    with open(STAMP, "w") as stamp:
        stamp.write(wanted)
    say("Installed.")


def use_another_python():
    # type: () -> None
    """Go on with a Python that fits, if one is on the PATH; else say what is needed."""
    for minor in range(TOO_NEW[1] - 1, OLDEST[1] - 1, -1):
        other = shutil.which("python3.%d" % minor) if hasattr(shutil, "which") else None
        if other:
            os.execv(other, [other] + sys.argv)
    refuse(
        "Scrip needs Python 3.11, 3.12 or 3.13, but this is %d.%d (%s): install one of them, or name it with "
        "`make PYTHON=/path/to/python3.12`." % (sys.version_info[0], sys.version_info[1], sys.executable)
    )


def fingerprint():
    # type: () -> str
    """Changes when the lock, a package's own requirements, the interpreter or the checkout's place
    changes.
    """
    digest = hashlib.sha256()
    for name in ["requirements.lock"] + [os.path.join(member, "pyproject.toml") for member in MEMBERS]:
        digest.update(read(os.path.join(ROOT, name)).encode("utf-8"))
    digest.update(repr((ROOT, sys.version_info[:2], MEMBERS)).encode("utf-8"))
    return digest.hexdigest()


def stamped():
    # type: () -> str
    if not os.path.exists(PYTHON):  # also where the interpreter the link names is gone
        return ""
    try:
        return read(STAMP)
    except OSError:
        return ""


def make_venv():
    # type: () -> None
    """A fresh environment where there is none, or where it was made for another place or Python."""
    made_for = repr((ROOT, sys.version_info[:2]))
    marker = os.path.join(VENV, "scrip-made-for")
    if os.path.exists(PYTHON) and os.path.exists(marker) and read(marker) == made_for:
        return
    say("Making .venv with Python %d.%d ..." % sys.version_info[:2])
    arguments = [sys.executable, "-m", "venv", "--clear", VENV]
    made = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = made.communicate()[0].decode("utf-8", "replace")
    if made.returncode != 0:
        refuse(
            "%s cannot make a virtual environment (on Debian and Ubuntu: install python3-venv):\n%s"
            % (sys.executable, "\n".join(output.splitlines()[-5:]))
        )
    with open(marker, "w") as file:
        file.write(made_for)


def run_pip(arguments, expected):
    # type: (list[str], int) -> None
    """Run pip with a counter of packages instead of its hundreds of lines, which go to a log."""
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "3"] + arguments
    environment = dict(os.environ)
    # The own packages' build backend runs a program that lies beside this Python.
    environment["PATH"] = os.path.join(VENV, "bin") + os.pathsep + environment.get("PATH", os.defpath)
    output = []
    with open(LOG, "a") as log:
        pip = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        done = 0
        for raw in pip.stdout or ():
            line = raw.decode("utf-8", "replace").rstrip()
            log.write(line + "\n")
            output.append(line)
            if line.startswith(("Collecting ", "Obtaining ", "Requirement already satisfied")):
                done += 1
                show(done, expected, line)
            elif line.startswith("Installing collected"):
                show(expected, expected, "unpacking")
    finish_showing()
    if pip.stdout:
        pip.stdout.close()
    if pip.wait() == 0:
        return
    text = "\n".join(output)
    if any(word in text for word in NETWORK_WORDS):
        refuse("The packages cannot be fetched: the network or the package index does not answer; see %s." % LOG)
    if "THESE PACKAGES DO NOT MATCH THE HASHES" in text:
        refuse("A fetched package is not the one that requirements.lock names, and was not installed; see %s." % LOG)
    refuse("pip failed; its last lines (all of them: %s):\n%s" % (LOG, "\n".join(output[-15:])))


def show(done, expected, line):
    # type: (int, int, str) -> None
    name = (line.split() + [""])[1] if " " in line else line
    if sys.stdout.isatty():
        sys.stdout.write("\r\033[K  %3d of %d  %s" % (min(done, expected), expected, name[:60]))
        sys.stdout.flush()
    elif done % 20 == 0:
        say("  %3d of %d" % (min(done, expected), expected))


def finish_showing():
    # type: () -> None
    if sys.stdout.isatty():
        sys.stdout.write("\r\033[K")
        sys.stdout.flush()


def read(path):
    # type: (str) -> str
    with open(path) as file:
        return file.read()


def say(text):
    # type: (str) -> None
    print(text)
    sys.stdout.flush()


def refuse(sentence):
    # type: (str) -> None
    sys.stderr.write(sentence + "\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
