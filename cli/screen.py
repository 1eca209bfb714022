"""What the commands print. Messages go to standard error, results to standard output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sciml.errors import RunError, UsageError


def out() -> Any:
    """Console for results."""
    from rich.console import Console

    return Console(highlight=False)


def err() -> Any:
    """Console for messages and progress."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def error(text: str) -> None:
    """One message; its first line says what is wrong."""
    from rich.markup import escape

    first, *rest = text.splitlines() or ["unknown error"]
    console = err()
    console.print(f"[bold red]error:[/] {escape(first)}", soft_wrap=True)
    for line in rest:
        console.print(f"  {escape(line)}", soft_wrap=True)


def failed(reason: UsageError | RunError | OSError) -> int:
    """Print why a command cannot go on; its exit code: 2 for what was asked, 1 for what went wrong."""
    error(str(reason))
    return 2 if isinstance(reason, UsageError) else 1


def note(text: str) -> None:
    """A remark that is not an error."""
    from rich.markup import escape

    err().print(f"[dim]{escape(text)}[/]", soft_wrap=True)


def print_table(table: Any) -> None:
    """A table of results; cut to the width of a terminal, but never for a file or another program."""
    console = out()
    if not console.is_terminal:
        console.width = 10_000
    console.print(table)


def number(value: float) -> str:
    """A metric for people: four significant digits."""
    return f"{value:.4g}"


def metrics(values: Mapping[str, float]) -> str:
    """Metrics in one line, without those of the best weights."""
    return "  ".join(f"{name} {number(value)}" for name, value in values.items() if not name.startswith("best/"))


def closing(row: Mapping[str, Any], folder: str, *, found: bool, reported: Sequence[str] = ()) -> None:
    """The panel at the end of a run: metrics, what the paper reports, warnings, where it lies."""
    from rich.console import Group
    from rich.markup import escape
    from rich.panel import Panel
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    values = row["metrics"]
    for name in (n for n in values if not n.startswith("best/")):
        best = values.get(f"best/{name}")
        grid.add_row(
            escape(name), f"[bold]{number(values[name])}[/]", "" if best is None else f"[dim]best {number(best)}[/]"
        )
    lines: list[Any] = [grid]
    lines += [f"[cyan]reported[/] {escape(text)}" for text in reported]
    lines += [f"[bold yellow]warning[/] {escape(text)}" for text in row.get("warnings", [])]
    seconds = row.get("wall_seconds")
    spent = (
        f"{row.get('cost', {}).get('steps', 0)} steps, {seconds:.1f} s, " if isinstance(seconds, (int, float)) else ""
    )
    lines.append(f"[dim]{spent}seed {row['seed']}[/]")
    lines.append(escape(folder))
    title = f"{escape(row['experiment'])}{' (found, not repeated)' if found else ''}"
    out().print(Panel(Group(*lines), title=title, title_align="left", expand=False))


def jobs(ended: Sequence[Mapping[str, Any]], *, lost: int) -> None:
    """The end of a multirun: every job with its state."""
    from rich.markup import escape
    from rich.table import Table

    from .expand import varying

    every = [job["overrides"] for job in ended]
    table = Table(box=None, title_justify="left")
    for column in ("job", "state", "result"):
        table.add_column(column, overflow="fold")
    for job in ended:
        result = metrics(job.get("metrics", {})) or job.get("error", "")
        table.add_row(escape(" ".join(varying(job["overrides"], every))), job["state"], escape(result))
    print_table(table)
    if lost:
        error(f"{lost} of {lost + len(ended)} jobs ended without a result: their processes were killed")
