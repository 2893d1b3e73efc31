"""``python -m pipeline``."""

from pipeline.command import main

if __name__ == "__main__":
    main()
