"""``python -m pipeline.benchmark``."""

from pipeline.runtime.threads import choose_waiting

if __name__ == "__main__":
    choose_waiting()
    # Only now, as it imports torch.
    from pipeline.benchmark.command import main

    main()
