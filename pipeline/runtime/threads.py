"""Threads: how those of the arithmetic wait for one another. Nothing here imports torch."""

import os

import psutil

#: Turns that a thread spins before it sleeps, where no other process needs the cores: some tens of
#: microseconds, the pauses between two operations. OpenMP's own 300,000 turns are milliseconds.
_SHORT_SPIN = 10_000
#: Seconds over which the machine is watched.
_WATCHED = 0.1
#: Cores in use from which on the machine counts as busy.
_BUSY_CORES = 0.5


def choose_waiting() -> None:
    """Say how OpenMP's threads wait: asleep on a busy machine, after a short spin on an idle one.

    A thread that spins takes the core from the one that it waits for as soon as another process
    needs a core, too: with one such process on two cores, a run took nine times as long. On an
    idle machine it takes a sleeping thread longer to wake than to do a small picture's next
    operation: a run took 1.6 times as long.

    For commands, before torch is imported: OpenMP reads the environment once. A user's own policy
    is left as it is.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        spin = 0 if _is_busy() else _SHORT_SPIN
        os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT=str(spin))


def _is_busy() -> bool:
    """Whether other processes need cores now; this one sleeps meanwhile."""
    share = psutil.cpu_percent(interval=_WATCHED) / 100
    return bool(share * (psutil.cpu_count() or 1) >= _BUSY_CORES)
