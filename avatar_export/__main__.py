"""``python -m avatar_export`` is ``avatar-export``."""

from avatar_export.cli import main

if __name__ == "__main__":
    main()
