"""The tests; their threads wait as those of the commands do, so that torch is not imported yet."""

from pipeline.runtime.threads import choose_waiting

choose_waiting()
