"""``python -m pipeline.benchmark``."""

from pipeline.runtime.threads import wait_passively

if __name__ == "__main__":
    wait_passively()
    # Only now, as it imports torch.
    from pipeline.benchmark.command import main

    main()
