"""``python -m xsaga``."""

from __future__ import annotations

from xsaga.cli import main

if __name__ == "__main__":
    main()
