"""The front door: `python -m rollcall`."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

import click
from rich.console import Console
from rich.text import Text

from faces.errors import RollcallError
from rollcall.cli import cli


def main() -> NoReturn:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A shell starts background jobs with SIGINT ignored; whoever sends it to us means it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.exit(130)
    except ModuleNotFoundError as error:
        told = f"{(error.name or '').partition('.')[0]} is not installed here, which this command needs. "
        Console(stderr=True).print(Text(told, "bold red"), Text("Give it where all of Rollcall is."), soft_wrap=True)
        sys.exit(1)
    except RollcallError as error:
        Console(stderr=True).print(Text(f"{error.message}. ", "bold red"), Text(error.remedy), soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
