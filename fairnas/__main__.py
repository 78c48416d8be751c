"""Entry point of `python -m fairnas`, the same command as `fairnas`."""

from fairnas.cli.main import main

raise SystemExit(main())
