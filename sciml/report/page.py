"""A report as one HTML file that needs nothing else: no network, no other file.

Templates are Jinja's, which escapes all that comes from a run folder; charts are Plotly's, whose script is part of
the page but is only read when the first chart is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from sciml.errors import UsageError
from sciml.render import number
from sciml.report.differences import varying
from sciml.report.gather import metric_names


def page(
    tables: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]], problems: Sequence[str], *, title: str
) -> str:
    """The page.

    Args:
        tables: From :func:`sciml.report.gather.table_data`.
        runs: From :func:`sciml.report.gather.run_data`.
        problems: What was left out, a line each.
        title: Heading of the page.

    Raises:
        UsageError: Plotly is not installed.
    """
    from jinja2 import Environment, StrictUndefined

    here = files("sciml.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = _number
    template = environment.from_string(here.joinpath("page.html.jinja").read_text(encoding="utf-8"))
    charts = {
        "costs": [cost for table in tables for cost in table["costs"]],
        "curves": {run["id"]: run["curves"] for run in runs if run["curves"]},
    }
    drawn = bool(charts["costs"] or charts["curves"])
    return template.render(
        title=title,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        tables=_numbered(tables),
        runs=[{**run, "differs": differs} for run, differs in zip(runs, varying(runs), strict=True)],
        problems=problems,
        metrics=metric_names(runs)[:4],
        families=sorted({run["family"] for run in runs if run["family"]}),
        states=sorted({run["state"] for run in runs}),
        style=here.joinpath("page.css").read_text(encoding="utf-8"),
        script=here.joinpath("page.js").read_text(encoding="utf-8"),
        # Inside a script element only "</" and "<!--" have a meaning to HTML.
        data=json.dumps(charts, separators=(",", ":")).replace("<", "\\u003c"),
        library=_plotly() if drawn else "",
    )


def _numbered(tables: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tables with the place of each of their charts in the page's data."""
    start, numbered = 0, []
    for table in tables:
        numbered.append({**table, "charts": list(enumerate(table["costs"], start))})
        start += len(table["costs"])
    return numbered


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "" if value is None else str(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return f"{value:,.0f}".replace(",", " ")
    return number(value)


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise UsageError("sciml report needs plotly for its charts: pip install 'sciml[report]'") from None
    return get_plotlyjs().replace("</script", "<\\/script")
