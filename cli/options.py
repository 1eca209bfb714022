"""Arguments and options that several commands have. As :mod:`sciml.cli.main` this stays light."""

from __future__ import annotations

from typing import Annotated

import typer

from .complete import complete_grid, complete_override, complete_run

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[OVERRIDES]...",
        autocompletion=complete_override,
        show_default=False,
        help="[cyan]+experiment=PAPER/CASE[/], [cyan]group=option[/], [cyan]key=value[/];"
        " with -m also [cyan]key=a,b,c[/]",
    ),
]
Grid = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[OVERRIDES]...",
        autocompletion=complete_grid,
        show_default=False,
        help="[cyan]+experiment=PAPER/CASE[/], [cyan]group=a,b[/], [cyan]key=1,2,3[/],"
        " [cyan]'key=range(0,8)'[/], [cyan]'group=glob(*)'[/]: every combination is a run",
    ),
]
ConfigDir = Annotated[
    str | None, typer.Option("--config-dir", "-c", help="Your own folder of configs, beside the built-in ones.")
]
Trust = Annotated[
    list[str] | None, typer.Option("--trust", metavar="PACKAGE", help="Let configs build classes of this package too.")
]
Force = Annotated[bool, typer.Option("--force", help="Repeat a run that is already finished.")]
Outputs = Annotated[str, typer.Option("--outputs", help="Where the run folders are.")]
Run = Annotated[str, typer.Argument(autocompletion=complete_run, help="A run folder, or a unique part of its path.")]
Comparison = Annotated[str, typer.Option("--format", "-f", help="text, csv, md, latex or json")]
TextOrJson = Annotated[str, typer.Option("--format", "-f", help="text or json")]
