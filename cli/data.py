"""``sciml data``: simulated fields, made once and kept. As :mod:`sciml.cli.main` this stays light."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from .configs import options, read
from .options import ConfigDir, Trust

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Make, list and look at simulated data.",
)


def complete_equation(ctx: typer.Context, incomplete: str) -> list[str]:
    """Equations that there is a config of."""
    return [name for name in options("simulation", ctx.params.get("config_dir")) if name.startswith(incomplete)]


def complete_setting(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """Settings of the equation, with what they are set to."""
    settings = read(f"simulation/{ctx.params.get('equation')}", ctx.params.get("config_dir"))
    for name in ("n", "seed", *(name for name in settings if name not in ("_target_", "defaults"))):
        if name.startswith(incomplete):
            yield f"{name}="


def complete_kept(ctx: typer.Context, incomplete: str) -> list[str]:
    """Data that is kept, and what was begun."""
    from .kept import places

    found = places(Path(ctx.params.get("outputs") or "outputs"))
    return [text for text in map(str, found) if text.startswith(incomplete)]


Outputs = Annotated[
    str, typer.Option("--outputs", help="The folder whose runs share the data; they lie in its [cyan].data[/].")
]


@app.command()
def generate(
    equation: Annotated[
        str | None,
        typer.Argument(autocompletion=complete_equation, help="Without one: which there are.", show_default=False),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OVERRIDES]...",
            autocompletion=complete_setting,
            show_default=False,
            help="[cyan]n=1000[/] samples, [cyan]seed=0[/], and any setting of [cyan]simulation/EQUATION.yaml[/].",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Put a copy of the file here.", show_default=False),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes; 0: one per core.")] = 0,
    outputs: Outputs = "outputs",
    config_dir: ConfigDir = None,
    trust: Trust = None,
) -> None:
    """Make samples of an equation, or find those that were made with the same settings.

    The file is HDF5 in PDEBench's layout. What is stopped or killed goes on where it was.

    [dim]sciml data generate heat n=1000 points=256 seed=0 --out heat.hdf5[/]
    """
    from .generate import equations
    from .generate import generate as make

    if equation is None:
        raise typer.Exit(equations(config_dir))
    raise typer.Exit(make(equation, overrides or [], out, jobs, outputs, config_dir, trust or []))


@app.command(name="list")
def list_(outputs: Outputs = "outputs") -> None:
    """List the data that is kept, and what was begun."""
    from .kept import print_kept

    raise typer.Exit(print_kept(outputs))


@app.command()
def show(file: Annotated[Path, typer.Argument(help="An HDF5 file.")]) -> None:
    """Print what is in a file and what it was made with."""
    from .kept import print_file

    raise typer.Exit(print_file(file))


@app.command()
def remove(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...",
            autocompletion=complete_kept,
            show_default=False,
            help="As [cyan]sciml data list[/] names them: files, or folders of what was begun.",
        ),
    ] = None,
    begun: Annotated[bool, typer.Option("--begun", help="All that was begun and never ended.")] = False,
    outputs: Outputs = "outputs",
) -> None:
    """Remove data that is kept; a run that needs it makes it again."""
    from .kept import remove_kept

    raise typer.Exit(remove_kept(files or [], begun, outputs))


@app.command()
def check(files: Annotated[list[Path], typer.Argument(help="Files of [cyan]sciml data generate[/].")]) -> None:
    """Hold files against the checksums in them."""
    from .kept import check_files

    raise typer.Exit(check_files(files))
