"""Lets `python -m poleward_tools` be the `poleward` command."""

from poleward_tools.cli.main import main

if __name__ == "__main__":
    main()
