"""`sciml`: the command line. Keep this module light: it runs for --help and for every completion."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from .complete import complete_listing, complete_override, complete_run, complete_table

app = typer.Typer(
    name="sciml",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run scientific machine learning experiments: a composed config in, a row of a paper table out.",
)

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
ConfigDir = Annotated[
    str | None, typer.Option("--config-dir", "-c", help="Your own folder of configs, beside the built-in ones.")
]
Trust = Annotated[
    list[str] | None, typer.Option("--trust", metavar="PACKAGE", help="Let configs build classes of this package too.")
]
Force = Annotated[bool, typer.Option("--force", help="Repeat a run that is already finished.")]
Outputs = Annotated[str, typer.Option("--outputs", help="Where the run folders are.")]


@app.command()
def train(
    overrides: Overrides = None,
    multirun: Annotated[
        bool, typer.Option("--multirun", "-m", help="Run every combination of comma-separated values.")
    ] = False,
    config_dir: ConfigDir = None,
    trust: Trust = None,
    force: Force = False,
) -> None:
    """Run an experiment: train if there is something to train, test, file the row.

    [dim]sciml train +experiment=daw2023r3/convection pinn/collocation=fixed seed=1[/]
    """
    from .launch import launch

    raise typer.Exit(launch(overrides or [], multirun=multirun, config_dir=config_dir, trust=trust or [], force=force))


@app.command(name="eval")
def evaluate(
    run: Annotated[
        str, typer.Argument(autocompletion=complete_run, help="A run folder, or a unique part of its path.")
    ],
    checkpoint: Annotated[str, typer.Option("--checkpoint", help="[cyan]last[/] or [cyan]best[/].")] = "last",
    trust: Trust = None,
    outputs: Outputs = "outputs",
) -> None:
    """Test a run again from its checkpoint, and compare with its row."""
    from .runs import evaluate_run

    raise typer.Exit(evaluate_run(run, checkpoint, trust or [], outputs))


@app.command()
def resume(
    run: Annotated[
        str, typer.Argument(autocompletion=complete_run, help="A run folder, or a unique part of its path.")
    ],
    trust: Trust = None,
    outputs: Outputs = "outputs",
) -> None:
    """Go on with a run that was stopped, killed, or failed."""
    from .runs import resume_run

    raise typer.Exit(resume_run(run, trust or [], outputs))


@app.command()
def table(
    name: Annotated[str, typer.Argument(autocompletion=complete_table, help="PAPER/TABLE, see: sciml list tables")],
    overrides: Overrides = None,
    budget: Annotated[str, typer.Option("--budget", help="Which of the table's budgets to use.")] = "desk",
    run: Annotated[bool, typer.Option("--run/--no-run", help="Run what is missing, or only read rows.")] = True,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Runs side by side; 0: one per core.")] = 0,
    form: Annotated[str, typer.Option("--format", "-f", help="text, md, json or csv")] = "text",
    outputs: Outputs = "outputs",
    config_dir: ConfigDir = None,
    trust: Trust = None,
) -> None:
    """Make a paper's table: run the missing cells, print reported beside obtained."""
    from .tables import make_table

    raise typer.Exit(make_table(name, overrides or [], budget, run, jobs, form, outputs, config_dir, trust or []))


@app.command(name="list")
def list_(
    what: Annotated[
        str, typer.Argument(autocompletion=complete_listing, help="experiments, tables, papers or methods")
    ] = "experiments",
    config_dir: ConfigDir = None,
) -> None:
    """List what there is to run."""
    from .listing import print_list

    raise typer.Exit(print_list(what, config_dir))


@app.command()
def show(
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    resolve: Annotated[bool, typer.Option("--resolve", help="Fill in interpolations.")] = False,
) -> None:
    """Print the composed config, and where each value comes from."""
    from .show import print_config

    raise typer.Exit(print_config(overrides or [], config_dir, resolve))


@app.command()
def doctor() -> None:
    """Say what works on this machine, what does not, and how to mend it."""
    from .doctor import examine

    raise typer.Exit(examine())


@app.command()
def completion(shell: Annotated[str, typer.Argument(help="bash or zsh")] = "bash") -> None:
    """Print the completion script of a shell: [cyan]source <(sciml completion bash)[/]"""
    from .complete import script

    try:
        print(script(shell), end="")
    except ValueError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None


def main() -> None:
    """Entry point of the console script."""
    from sciml.signals import shield

    shield()
    if "_SCIML_COMPLETE" in os.environ:  # Typer does this only for an app that also installs its own scripts
        from typer._completion_classes import completion_init

        completion_init()
    app(prog_name="sciml")
