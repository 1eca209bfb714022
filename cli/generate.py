"""``sciml data generate``: from the config of an equation and overrides to a file. No torch if it is there already."""

from __future__ import annotations

import os
import re
import shutil
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from sciml.config import check_node, did_you_mean, suggest, target
from sciml.errors import ConfigError, RunError, UsageError
from sciml.hints import fits, refusal
from sciml.imports import load
from sciml.ranges import Range, Seed

from . import screen
from .configs import options, place, read

if TYPE_CHECKING:
    from sciml.simulation.base import Simulation
    from sciml.simulation.store import Maker

GROUP = "simulation"
ASKED = {"n": 1000, "seed": 0}  # what belongs to a data set, not to the simulation
_KINDS = {"n": Annotated[int, Range(1, 2**31 - 1)], "seed": Seed}


def equations(config_dir: str | None) -> int:
    """Print which equations there are; returns the exit code."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("equation", "settings"):
        table.add_column(column, overflow="fold")
    for name in options(GROUP, config_dir):
        try:
            node = read(f"{GROUP}/{name}", config_dir)
        except UsageError as error:  # one broken file shall not hide the others
            screen.note(str(error))
            continue
        table.add_row(name, escape(words({k: v for k, v in node.items() if k not in ("_target_", "defaults")})))
    screen.print_table(table)
    return 0


def words(settings: Mapping[str, Any]) -> str:
    """Settings in one line, as they are typed."""
    import json

    return " ".join(f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in settings.items())


def generate(
    equation: str,
    overrides: Sequence[str],
    out: Path | None,
    jobs: int,
    outputs: str,
    config_dir: str | None,
    trust: Sequence[str],
) -> int:
    """Make a file, or find it; returns the exit code."""
    from sciml.folder import placed

    from .launch import trusted

    try:
        with placed(Path(outputs)):
            file, asked, was_there = _file(equation, overrides, jobs, config_dir, trusted(trust))
            if out is not None:
                _copy(file, out)
    except UsageError as error:
        return screen.failed(error)
    except RunError as error:
        if os.environ.get("SCIML_TRACE"):
            traceback.print_exception(error)
        return screen.failed(RunError(str(error).replace("outputs=<folder>", "--outputs <folder>")))
    except KeyboardInterrupt:
        screen.note("interrupted; the same command goes on from the samples that are there")
        return 130
    how = "found, not made again" if was_there else "made"
    screen.note(f"{equation}: {asked['n']} samples of seed {asked['seed']}, {size(file.stat().st_size)}, {how}")
    print(out or file)
    return 0


def size(count: float) -> str:
    """So many bytes, for people."""
    for unit in ("bytes", "kB", "MB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def _file(
    equation: str, overrides: Sequence[str], jobs: int, config_dir: str | None, trust: tuple[str, ...]
) -> tuple[Path, dict[str, int], bool]:
    """The file, what was asked for, and whether it was there."""
    from sciml.data import cache
    from sciml.simulation.store import found, stored

    node, asked = compose(equation, overrides, config_dir, trust)
    root = cache.folder()
    assert root is not None
    if file := found(root, node, **asked):
        return file, asked, True
    load(("sciml.simulation.making", "sciml.simulation.showing"))
    import torch

    from sciml.simulation.showing import Shown

    torch.set_num_threads(1)  # a process that has used more is not to be forked
    simulation = build(equation, node, overrides, config_dir, trust)

    began: list[int] = []

    class Noting(Shown):
        def begin(self, name: str, done: int, n: int) -> None:
            began.append(done)
            super().begin(name, done, n)

    file = stored(simulation, **asked, root=root, make=_maker(jobs), watch=Noting(screen.err()))
    return file, asked, not began


def _maker(jobs: int) -> Maker:
    from sciml.launcher.local import cores
    from sciml.simulation.making import Made, Plan, forked, here

    def make(plan: Plan, chunks: Sequence[int], made: Made) -> None:
        width = min(jobs or cores(), len(chunks))
        if width > 1:
            forked(plan, chunks, made, width)
        else:
            here(plan, chunks, made)

    return make


def _copy(file: Path, out: Path) -> None:
    from sciml.files import disk_error, replacing

    if out.is_dir():
        raise UsageError(f"--out {out} is a folder: name a file in it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, out) from error
    with replacing(out) as temporary:
        shutil.copyfile(file, temporary)


def compose(
    equation: str, overrides: Sequence[str], config_dir: str | None, trust: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, int]]:
    """The config of a simulation, resolved but not yet held against its class, and what is asked of it.

    Raises:
        UsageError: There is no such equation or setting, or an override cannot be read.
    """
    from hydra import compose as hydra_compose
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf, open_dict

    from .explain import explain
    from .origin import hydra_session, mistakes
    from .request import plain

    known = options(GROUP, config_dir)
    if equation not in known:
        raise UsageError(
            f"there is no equation {equation}{did_you_mean(equation, known)}\navailable: {', '.join(known)}"
        )
    asked = dict(ASKED)
    try:
        with hydra_session(config_dir):
            cfg = hydra_compose(f"{GROUP}/{equation}")
        if GROUP not in cfg or "_target_" not in cfg[GROUP]:
            raise UsageError(f"{place(f'{GROUP}/{equation}', config_dir)} names no class: its _target_ is missing")
        with open_dict(cfg):
            for override in OverridesParser.create().parse_overrides(list(overrides)):
                key, typed = override.key_or_group, override.input_line
                if override.is_sweep_override():
                    raise UsageError(f"{typed}: a data set has one value of each setting")
                if override.is_delete():
                    raise UsageError(f"{typed}: a setting of a simulation cannot be taken out")
                if key in asked:
                    asked[key] = _whole(key, override.value())
                else:
                    _refuse_unknown(key, cfg[GROUP], equation, trust)
                    OmegaConf.update(cfg, f"{GROUP}.{key}", override.value(), merge=True, force_add=True)
        return plain(cfg)[0][GROUP], asked
    except mistakes() as error:
        raise UsageError(_as_typed(explain(error, overrides, config_dir))) from error


def _whole(key: str, value: Any) -> int:
    if not fits(value, _KINDS[key]):
        raise UsageError(f"bad value for {key}: {refusal(value, _KINDS[key])}")
    return value


def _refuse_unknown(key: str, node: Mapping[str, Any], equation: str, trust: tuple[str, ...]) -> None:
    import inspect

    first = key.partition(".")[0]
    if first in node and not first.startswith("_"):
        return
    parameters = inspect.signature(target(node["_target_"], trust)).parameters
    if first not in parameters:
        options = [*ASKED, *(name for name in node if name != "_target_"), *parameters]
        hint = did_you_mean(key, dict.fromkeys(options))
        more = "" if suggest(key, options) else f"\nsettings: {', '.join(dict.fromkeys(options))}"
        raise UsageError(f"there is no setting {key} of {equation}{hint}{more}")


def build(
    equation: str,
    node: Mapping[str, Any],
    overrides: Sequence[str],
    config_dir: str | None,
    trust: tuple[str, ...],
) -> Simulation:
    """The simulation that a config describes.

    Raises:
        ConfigError: It names what is not trusted, or no simulation, or a value is wrong.
    """
    from sciml.simulation.base import Simulation

    given = {key: value for key, value in node.items() if key != "_target_"}
    try:
        kind = target(node["_target_"], trust)
        if not (isinstance(kind, type) and issubclass(kind, Simulation)):
            raise ConfigError(f"_target_ {node['_target_']} is not a simulation")
        check_node(node, GROUP, trust=trust)
        try:
            return kind(**given)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{equation}: {error}") from error
    except ConfigError as error:
        typed = [re.escape(override.lstrip("+").partition("=")[0]) for override in overrides]
        file = place(f"{GROUP}/{equation}", config_dir)
        lines = _as_typed(str(error)).splitlines()
        said = [
            line if re.search(rf"\b({'|'.join(typed)})\b", line) and typed else f"{line} (from {file})"
            for line in lines
        ]
        raise ConfigError("\n".join(said)) from error


def _as_typed(message: str) -> str:
    """Settings by the names that they have here: without the group, but for what is the name of a module."""
    return re.sub(rf"(?<![\w./]){GROUP}[.:] ?", "", message)
