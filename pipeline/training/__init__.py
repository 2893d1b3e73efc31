"""Training: the commands that train the bundled networks and judge them."""

from pipeline.runtime.threads import wait_passively

# Here, as the commands' own modules begin by importing torch.
wait_passively()
