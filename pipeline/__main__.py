"""``python -m pipeline``."""

from pipeline.command.main import main

if __name__ == "__main__":
    main()
