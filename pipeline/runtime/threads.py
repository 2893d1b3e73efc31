"""Threads: how those of the arithmetic wait for one another. Nothing here imports torch."""

import os

_PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


def wait_passively() -> None:
    """Let OpenMP's threads sleep where they have to wait, instead of keeping their cores busy.

    A thread that spins takes the core from the one that it waits for as soon as another process
    needs a core, too: with one such process on two cores, a run took up to eight times as long.

    For commands, before torch is imported: OpenMP reads the environment once. A user's own policy
    is left as it is.
    """
    if not _PASSIVE.keys() & os.environ.keys():
        os.environ.update(_PASSIVE)
