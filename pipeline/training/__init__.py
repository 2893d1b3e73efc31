"""Training: the commands that train the bundled networks and judge them."""

from pipeline.runtime.threads import choose_waiting

# Here, as the commands' own modules begin by importing torch.
choose_waiting()
