"""From the overrides of a search to its space, its frozen configs and the seeds, in Hydra's own syntax.

``interval(a, b)`` is a continuum, ``int(interval(a, b))`` the whole numbers a <= n < b, ``range(a, b, step)`` numbers
in steps without b, ``choice(a, b)``, ``a,b`` and ``glob(...)`` words; ``tag(log, ...)`` makes a scale logarithmic.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any

from sciml.config import NEUTRAL, check
from sciml.errors import ConfigError, UsageError
from sciml.searchspec import Frozen, Spec
from sciml.space import Direction, Parameter, Value

from .origin import hydra_session, place_of
from .request import plain

if TYPE_CHECKING:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Override

COMBINATIONS = 64  # of config files that a search may choose from: each is composed and frozen beforehand


@dataclass(frozen=True)
class Parsed:
    """What the overrides of a search say.

    Args:
        fixed: The same in every trial.
        space: What a trial chooses.
        seeds: Of the runs of each trial.
        outputs: Where the runs go, if the overrides say so.
    """

    fixed: tuple[str, ...]
    space: tuple[Parameter, ...]
    seeds: tuple[int, ...]
    outputs: str | None


def plan(
    overrides: Sequence[str],
    *,
    objective: str | None,
    direction: Direction,
    config_dir: str | None,
    trust: Sequence[str],
) -> tuple[Spec, list[Frozen], str | None]:
    """Read the overrides, compose what a trial can be made of, and check it.

    Returns:
        What is searched, the frozen configs, and the outputs if the overrides name them.

    Raises:
        UsageError: An override is no good in a search, or a config must not be built; the message names it.
        HydraException: An override cannot be read, or a config does not compose.
    """
    with hydra_session(config_dir):
        parsed = parse(overrides)
        frozen = _freeze(parsed, trust)
    experiment = str(frozen[0].choices.get("experiment") or "")
    if not experiment:
        raise UsageError("no experiment is chosen: add +experiment=<paper>/<case> (see: sciml list experiments)")
    spec = Spec(
        experiment=experiment,
        overrides=parsed.fixed,
        space=parsed.space,
        objective=objective,
        direction=direction,
        seeds=parsed.seeds,
        configs=_identity(frozen),
    )
    return spec, frozen, parsed.outputs


def parse(overrides: Sequence[str]) -> Parsed:
    """Tell the space from what is fixed. Needs a Hydra session.

    Raises:
        UsageError: An override is no good in a search.
        HydraException: It cannot be read.
    """
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    loader = GlobalHydra.instance().config_loader()
    parser = OverridesParser.create(config_loader=loader)
    fixed: list[str] = []
    space: dict[str, Parameter] = {}
    seeds: tuple[int, ...] = (0,)
    outputs = None
    for text in overrides:
        override = _read(parser, text)
        override.config_loader = loader
        key = override.key_or_group
        if override.is_hydra_override() and key != "hydra.searchpath":
            raise UsageError(f"{text}: a search has its own sweeper and launcher; leave it out")
        if key == "seed":
            seeds = _seeds(override, text)
        elif key == "outputs":
            outputs = str(override.value())
        elif not override.is_sweep_override():
            fixed.append(text)
        elif key.split(".")[0] in ("experiment", "hydra", *NEUTRAL):
            raise UsageError(f"{text}: {key} cannot be searched; give it one value")
        else:
            parameter = _parameter(override, text, group=bool(loader.get_group_options(key)))
            if parameter.name in space:
                raise UsageError(f"{text}: {parameter.name} is in the search space already")
            space[parameter.name] = parameter
    if not space:
        raise UsageError("a search needs a search space, for instance 'optimizer.lr=tag(log, interval(1e-4, 1e-1))'")
    return Parsed(tuple(fixed), tuple(space.values()), seeds, outputs)


def _read(parser: OverridesParser, text: str) -> Override:
    from hydra.errors import OverrideParseException

    try:
        return parser.parse_overrides([text])[0]
    except OverrideParseException as error:
        _, _, reason = str(error).partition(" while evaluating '")
        if not reason:
            raise
        raise UsageError(f"{text}: {reason.splitlines()[0].partition(': ')[2]}") from error
    except ValueError as error:  # of a range without steps, for instance
        raise UsageError(f"{text}: {error}") from error


def _seeds(override: Override, text: str) -> tuple[int, ...]:
    values = list(override.sweep_iterator()) if override.is_discrete_sweep() else [override.value()]
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        raise UsageError(f"{text}: seeds are whole numbers, as in seed=0 or seed=0,1,2; they are not searched")
    return tuple(sorted({int(value) for value in values}))  # type: ignore[arg-type]


def _parameter(override: Override, text: str, *, group: bool) -> Parameter:
    key = override.get_key_element()
    sweep: Any = override.value()
    tags = set(getattr(sweep, "tags", ()))
    if unknown := tags - {"log"}:
        raise UsageError(f"{text}: the tag {', '.join(sorted(unknown))} means nothing to a search; there is only log")
    log = "log" in tags
    if override.is_choice_sweep():
        if log:
            raise UsageError(f"{text}: a choice has no scale; log goes with interval(...) or range(...)")
        sweep.shuffle = False  # the order is the same each time, so that the search is
        choices = tuple(dict.fromkeys(override.sweep_string_iterator()))
        if not choices:
            raise UsageError(f"{text}: there is nothing to choose from")
        return Parameter(key, "choice", choices, group=group)
    if group:
        raise UsageError(f"{text}: {override.key_or_group} is a config group, to be chosen from with choice(...)")
    if override.is_interval_sweep():
        return _interval(key, sweep.start, sweep.end, text, log=log)
    return _range(key, sweep.start, sweep.stop, sweep.step, text, log=log)


def _interval(key: str, low: float, high: float, text: str, *, log: bool) -> Parameter:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"{text}: an interval goes from a lower to a higher finite number")
    if log and low <= 0:
        raise UsageError(f"{text}: a logarithmic scale begins above 0, not at {low:g}")
    if isinstance(low, int) and isinstance(high, int):
        return Parameter(key, "whole", low=low, high=high - 1, step=1, log=log)  # Hydra: low <= value < high
    return Parameter(key, "real", low=float(low), high=float(high), log=log)


def _range(key: str, start: float, stop: float, step: float, text: str, *, log: bool) -> Parameter:
    whole = all(isinstance(number, int) for number in (start, stop, step))
    if not all(map(math.isfinite, (start, stop, step))):
        raise UsageError(f"{text}: a range is between finite numbers")
    first, end, by = (Decimal(repr(number)) for number in (start, stop, step))
    count = math.ceil((end - first) / by) if by else 0
    if count < 1:
        raise UsageError(f"{text}: this range is empty")
    last = first + (count - 1) * by
    kind = int if whole else float
    low, high, by = kind(min(first, last)), kind(max(first, last)), kind(abs(by))
    if log and (by != 1 or not whole):
        raise UsageError(f"{text}: steps are even, a log scale is not: take tag(log, interval(...)), or steps of 1")
    if log and low <= 0:
        raise UsageError(f"{text}: a logarithmic scale begins above 0, not at {low:g}")
    return Parameter(key, "whole" if whole else "real", low=low, high=high, step=by, log=log)


def _freeze(parsed: Parsed, trust: Sequence[str]) -> list[Frozen]:
    from hydra import compose

    groups = [parameter for parameter in parsed.space if parameter.group]
    values = [parameter for parameter in parsed.space if not parameter.group]
    count = math.prod(len(parameter.choices) for parameter in groups)
    if count > COMBINATIONS:
        names = " x ".join(parameter.name for parameter in groups)
        raise UsageError(f"{names} has {count} combinations of config files; a search chooses from {COMBINATIONS}")
    seed = f"seed={parsed.seeds[0]}"
    first = {parameter.name: parameter.ends()[0] for parameter in values}
    frozen = []
    for options in product(*(parameter.choices for parameter in groups)):
        chosen = [f"{g.key}={option}" for g, option in zip(groups, options, strict=True)]
        given = [*parsed.fixed, *chosen, seed]
        cfg = compose("config", given, return_hydra_config=True)
        record = cfg.hydra.runtime.choices
        choices = {str(k): v for k, v in record.items() if not str(k).startswith("hydra")}
        raw = _without_hydra(cfg)
        if not frozen and any(v.key.startswith("+") == _has(raw, v.name) for v in values):
            # Hydra says best what is wrong with a key.
            compose("config", [*given, *(f"{v.key}={v.text(first[v.name])}" for v in values)])
        item = Frozen({g.name: option for g, option in zip(groups, options, strict=True)}, choices, raw)
        points = [first] if frozen else [{**first, v.name: end} for v in values for end in v.ends()] or [first]
        for point in points:
            _check(item, values, point, given, trust)
        frozen.append(item)
    return frozen


def _without_hydra(cfg: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    kept = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
    return OmegaConf.to_container(kept, resolve=False)  # type: ignore[return-value]


def _check(
    item: Frozen, values: Sequence[Parameter], point: dict[str, Value], given: Sequence[str], trust: Sequence[str]
) -> None:
    """Hold a trial's config against the constructors, as the run will."""
    label = " ".join(f"{v.name}={v.text(point[v.name])}" for v in values)
    with_ = f" with {' '.join(f'{g}={o}' for g, o in item.groups.items())}" if item.groups else ""
    origin = place_of([*given, *(f"{v.key}={v.text(point[v.name])}" for v in values)])
    for value in values:
        if not value.key.startswith("+") and not _has(item.raw, value.name):
            raise UsageError(f"there is no setting {value.name}{with_}; every trial has the whole space")
    try:
        tree, raw = plain(filled(item, values, point), origin)
        check(tree, raw, trust=trust, origin=origin)
    except ConfigError as error:
        raise ConfigError(f"{error}\nin the trial {label}{with_}") from error


def _has(tree: Any, key: str) -> bool:
    for part in key.split("."):
        if isinstance(tree, dict) and part in tree:
            tree = tree[part]
        elif isinstance(tree, list) and part.isdigit() and int(part) < len(tree):
            tree = tree[int(part)]
        else:
            return False
    return True


def filled(item: Frozen, values: Sequence[Parameter], point: dict[str, Value]) -> Any:
    """A frozen config with a trial's values, set as Hydra sets an override."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    cfg = OmegaConf.create(copy.deepcopy(dict(item.raw)))
    parser = OverridesParser.create()
    for value in values:
        override = parser.parse_override(f"{value.name}={value.text(point[value.name])}")
        OmegaConf.update(cfg, value.name, override.value(), merge=True)
    return cfg


def _identity(frozen: Sequence[Frozen]) -> str:
    kept = [
        {"groups": dict(item.groups), "config": {k: v for k, v in item.raw.items() if k not in NEUTRAL}}
        for item in frozen
    ]
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:10]
