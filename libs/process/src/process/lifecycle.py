"""The life of a process: start, one stop signal, a limit on how long stopping may take, one exit code."""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from types import FrameType

import structlog
import uvloop

from process import failpoints

STOP_LIMIT_SECONDS = 20.0
GARBAGE_SECONDS = 10.0

logger = structlog.get_logger()


def run(main: Callable[[asyncio.Event], Awaitable[None]], *, stop_limit_seconds: float = STOP_LIMIT_SECONDS) -> None:
    """Run `main(stop)` on uvloop until it returns, then end the process; does not return.

    The first SIGTERM or SIGINT sets `stop`; main should then drain (within 15 s) and return: exit code 0.
    The second one ends the process at once with 128 + its number. When the process is still there
    `stop_limit_seconds` after the first signal, or after main ended, it is ended with code 1, even if its
    event loop hangs. An exception out of main is logged once: exit code 1.
    Called from the main thread, after `logs.configure`.
    """
    try:
        failpoints.refuse_unknown()
    except ValueError as error:
        sys.exit(str(error))
    if failpoints.armed():
        logger.warning("Failpoints are armed.", action="failpoints_armed", names=sorted(failpoints.armed()))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        exit_code = runner.run(_live(main, stop_limit_seconds))
    sys.exit(exit_code)


async def _live(main: Callable[[asyncio.Event], Awaitable[None]], stop_limit_seconds: float) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    signalled = False

    # Handlers of the interpreter, not of the loop: they run also while a callback keeps the loop busy.
    def on_signal(number: int, _: FrameType | None) -> None:
        nonlocal signalled
        if signalled:
            os._exit(128 + number)
        signalled = True
        _end_after(stop_limit_seconds)
        loop.call_soon_threadsafe(stop.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    collecting = asyncio.create_task(_collect_garbage())
    try:
        await main(stop)
    except Exception:
        logger.exception("The process ends because of an error nobody handled.", action="process_failed")
        return 1
    else:
        logger.info("The process has stopped.", action="process_stopped")
        return 0
    finally:
        collecting.cancel()
        # Closing the loop waits for threads; that may hang too.
        if not signalled:
            _end_after(stop_limit_seconds)


async def _collect_garbage() -> None:
    """Look for cycles by time, not by the number of objects made.

    Where thousands of records are held at once, the collector's own counting has it walk over all of them again and
    again: it took a sixth of core's processor time. What was imported is never looked at.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    while True:
        await asyncio.sleep(GARBAGE_SECONDS)
        gc.collect()


def _end_after(seconds: float) -> None:
    def end() -> None:
        os.write(2, f"The process did not stop within {seconds:g} s and is ended.\n".encode())
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
