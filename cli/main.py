"""`sciml`: the command line. Keep this module light: it runs for --help and for every completion."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from .complete import complete_launcher, complete_listing, complete_run, complete_shown, complete_sweep, complete_table
from .data import app as data
from .options import Comparison, ConfigDir, Force, Grid, Outputs, Overrides, Run, TextOrJson, Trust

app = typer.Typer(
    name="sciml",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data, name="data")


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"sciml {version('sciml')}")
        raise typer.Exit


@app.callback()
def sciml(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_say_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Run scientific machine learning experiments: a composed config in, a row of a paper table out."""
    del version  # it has been answered


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
    run: Run,
    checkpoint: Annotated[str, typer.Option("--checkpoint", help="[cyan]last[/] or [cyan]best[/].")] = "last",
    trust: Trust = None,
    outputs: Outputs = "outputs",
) -> None:
    """Test a run again from its checkpoint, and compare with its row."""
    from .runs import evaluate_run

    raise typer.Exit(evaluate_run(run, checkpoint, trust or [], outputs))


@app.command()
def resume(
    run: Run,
    trust: Trust = None,
    outputs: Outputs = "outputs",
) -> None:
    """Go on with a run that was stopped, killed, or failed."""
    from .runs import resume_run

    raise typer.Exit(resume_run(run, trust or [], outputs))


@app.command()
def sweep(
    overrides: Grid = None,
    launcher: Annotated[
        str | None,
        typer.Option(
            "--launcher",
            "-l",
            autocompletion=complete_launcher,
            show_default="local",
            help="[cyan]local[/], [cyan]joblib[/], [cyan]slurm[/], [cyan]submitit[/], or your own launcher/NAME.yaml;"
            " [cyan]launcher.KEY=VALUE[/] among the overrides changes a setting of it.",
        ),
    ] = None,
    array_parallel: Annotated[
        int | None, typer.Option("--array-parallel", min=1, help="Tasks of the array that may run at a time.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=0, help="Runs side by side on this machine; 0: one per core.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be done, and stop.")] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="SWEEP",
            autocompletion=complete_sweep,
            help="Do again what failed, was lost, stopped or cancelled in this sweep, or was never started.",
        ),
    ] = None,
    optuna: Annotated[
        int | None,
        typer.Option(
            "--optuna",
            metavar="TRIALS",
            min=0,
            help="Search instead of a grid: so many trials of Optuna's in all, over [cyan]key=interval(a,b)[/],"
            " [cyan]key=choice(a,b)[/] and the like.",
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option("--objective", metavar="METRIC", help="What a search looks at: a metric of the row."),
    ] = None,
    direction: Annotated[
        str, typer.Option("--direction", help="Whether a search wants to [cyan]minimize[/] or [cyan]maximize[/] it.")
    ] = "minimize",
    config_dir: ConfigDir = None,
    trust: Trust = None,
    force: Force = False,
    outputs: Outputs = "outputs",
) -> None:
    """Run a grid: what is not there yet is frozen and given to a launcher.

    [dim]sciml sweep +experiment=daw2023r3/convection pinn/collocation=fixed,r3 'seed=range(0,4)' --launcher slurm[/]
    """
    if optuna is not None:
        from .search import search

        code = search(
            overrides or [],
            optuna,
            objective=objective,
            direction=direction,
            launcher=launcher or "local",
            jobs=jobs or 1,
            config_dir=config_dir,
            trust=trust or [],
            outputs=outputs,
            grid={"--dry-run": dry_run, "--resume": resume, "--force": force, "--array-parallel": array_parallel},
        )
        raise typer.Exit(code)
    from .sweep import sweep as run_sweep

    code = run_sweep(
        overrides or [],
        launcher=launcher,
        array_parallel=array_parallel,
        jobs=jobs,
        dry_run=dry_run,
        resume=resume,
        config_dir=config_dir,
        trust=trust or [],
        force=force,
        outputs=outputs,
    )
    raise typer.Exit(code)


@app.command()
def status(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[SWEEP]", autocompletion=complete_sweep, help="Its name, or a unique part of it."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on until all runs are over.")] = False,
    form: TextOrJson = "text",
    outputs: Outputs = "outputs",
) -> None:
    """Say where the runs of a sweep stand; without a name: all sweeps, and the newest in full."""
    from .status import status as print_status

    raise typer.Exit(print_status(name, watch=watch, form=form, outputs=outputs))


@app.command()
def cancel(
    name: Annotated[
        str, typer.Argument(metavar="SWEEP", autocompletion=complete_sweep, help="Its name, or a unique part of it.")
    ],
    outputs: Outputs = "outputs",
) -> None:
    """End the runs of a sweep that are queued or running."""
    from .cancel import cancel as cancel_sweep

    raise typer.Exit(cancel_sweep(name, outputs=outputs))


@app.command()
def table(
    name: Annotated[str, typer.Argument(autocompletion=complete_table, help="PAPER/TABLE, see: sciml list tables")],
    overrides: Overrides = None,
    budget: Annotated[str, typer.Option("--budget", help="Which of the table's budgets to use.")] = "desk",
    run: Annotated[bool, typer.Option("--run/--no-run", help="Run what is missing, or only read rows.")] = True,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Runs side by side; 0: one per core.")] = 0,
    form: Annotated[str, typer.Option("--format", "-f", help="text, md, json, csv, latex or html")] = "text",
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="How many seeds; without it those of the budget.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="ROW", help="Of the methods only this one; may be repeated.")
    ] = None,
    launcher: Annotated[
        str | None,
        typer.Option(
            "--launcher",
            metavar="NAME",
            autocompletion=complete_launcher,
            show_default=False,
            help="Make what is missing as a sweep, with this launcher (see: sciml sweep --help).",
        ),
    ] = None,
    outputs: Outputs = "outputs",
    config_dir: ConfigDir = None,
    trust: Trust = None,
) -> None:
    """Make a paper's table: run the missing cells, print reported beside obtained."""
    from .tables import make_table

    where = (outputs, config_dir, trust or [])
    chosen = {"seeds": seeds, "only": only or (), "launcher": launcher}
    raise typer.Exit(make_table(name, overrides or [], budget, run, jobs, form, *where, **chosen))


@app.command()
def report(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TABLES|RUNS]...",
            autocompletion=complete_shown,
            show_default=False,
            help="Tables (PAPER/TABLE), experiments, run folders or unique parts of their paths; all there are if none"
            " is named.",
        ),
    ] = None,
    file: Annotated[str, typer.Option("--file", "-o", help="The page to write.")] = "report.html",
    title: Annotated[str | None, typer.Option("--title", help="Heading of the page.")] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="Budget of the tables; without it [cyan]desk[/] where there is one.")
    ] = None,
    outputs: Outputs = "outputs",
    config_dir: ConfigDir = None,
) -> None:
    """Write tables and runs, with curves, figures, configs and provenance, as one HTML file."""
    from .report import make_report

    raise typer.Exit(make_report(names or [], file, budget, outputs, config_dir, title))


@app.command()
def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN RUN...", autocompletion=complete_run, help="As for [cyan]eval[/].")
    ],
    form: Comparison = "text",
    outputs: Outputs = "outputs",
) -> None:
    """Show in what runs differ, and their metrics and costs side by side."""
    from .compare import compare_runs

    raise typer.Exit(compare_runs(runs, form, outputs))


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
    if "_SCIML_COMPLETE" in os.environ:  # Typer does this only for an app that also installs its own scripts
        from typer._completion_classes import completion_init

        completion_init()
    app(prog_name="sciml")
