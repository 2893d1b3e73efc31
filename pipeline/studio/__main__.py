"""The studio's command: ``python -m pipeline.studio``."""

from pipeline.studio.serve import main

if __name__ == "__main__":
    main()
