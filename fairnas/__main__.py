"""`python -m fairnas` is `fairnas`."""

from fairnas.cli.main import main

raise SystemExit(main())
