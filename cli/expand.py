"""The jobs of a grid, and their configs.

Composing a config takes Hydra about a tenth of a second, nearly all of it for the choice and the merging of
files. That depends on the overrides of config groups alone, so it is done once for each choice of these; the
overrides of values are then applied to a copy, in their order, by Hydra's own function, as Hydra does it.
Interpolations are resolved afterwards, job by job. Each file is read once, and Hydra's own node, which nobody asks
for here, is not merged: that halves the time.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sciml.errors import UsageError


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """The grid that overrides span, in Hydra's syntax. Needs a Hydra session.

    Args:
        overrides: Also with several values: ``a,b``, ``choice()``, ``range()``, ``glob()``.

    Returns:
        The overrides of each job; the last key changes fastest.

    Raises:
        UsageError: An override has values without number.
        HydraException: One cannot be read.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    parsed = parser.parse_overrides(list(overrides))
    for override in parsed:
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise UsageError(
                f"{override.input_line}: a grid needs values that can be counted: a,b or range(0,3);"
                " a search takes these: --optuna TRIALS"
            )
    return [job for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]


def varying(job: Sequence[str], jobs: Sequence[Sequence[str]]) -> list[str]:
    """The overrides in which a job differs from the others of its sweep."""
    common = common_to(jobs)
    return [override for override in job if override not in common]


def common_to(jobs: Sequence[Sequence[str]]) -> set[str]:
    """The overrides that all of several jobs have; none for a single one."""
    return set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()


class Composer:
    """Composes job after job. Needs a Hydra session for as long as it is used."""

    def __init__(self) -> None:
        from hydra._internal.config_loader_impl import ConfigLoaderImpl
        from hydra.core.global_hydra import GlobalHydra
        from hydra.core.override_parser.overrides_parser import OverridesParser

        loader = GlobalHydra.instance().config_loader()
        assert isinstance(loader, ConfigLoaderImpl)
        self._loader = loader
        self._bases: dict[tuple[str, ...], tuple[bytes, dict[str, Any]]] = {}
        self._parsed: dict[str, Any] = {}
        self._parser = OverridesParser.create()
        self._groups: dict[str, bool] = {}
        self._files: dict[str, bytes] = {}

    def __call__(self, job: Sequence[str]) -> tuple[Any, dict[str, Any]]:
        """Compose one job.

        Args:
            job: Its overrides.

        Returns:
            The config without Hydra's node, and which option each group was filled from.

        Raises:
            HydraException: It does not compose.
        """
        from hydra._internal.config_loader_impl import ConfigLoaderImpl
        from hydra.errors import ConfigCompositionException
        from omegaconf.errors import OmegaConfBaseException

        parsed = [self._parse(override) for override in job]
        # Hydra itself refuses one with several values.
        is_value = [not (o.is_hydra_override() or o.is_sweep_override()) and self._sets_value(o) for o in parsed]
        values = [o for o, yes in zip(parsed, is_value, strict=True) if yes]
        files = tuple(line for line, yes in zip(job, is_value, strict=True) if not yes)
        if files not in self._bases:
            self._bases[files] = self._compose(files)
        base, choices = self._bases[files]
        cfg = pickle.loads(base)  # noqa: S301 - made here; twice as quick as a deep copy
        try:
            ConfigLoaderImpl._apply_overrides_to_config(values, cfg)
        except OmegaConfBaseException as error:  # as in Hydra's load_configuration
            raise ConfigCompositionException from error
        return cfg, choices

    def _parse(self, override: str) -> Any:
        if override not in self._parsed:
            self._parsed[override] = self._parser.parse_override(override)
        return self._parsed[override]

    def _sets_value(self, override: Any) -> bool:
        """Whether it sets a value, not the option of a group: the rule of Hydra's defaults list."""
        key = override.key_or_group
        if key not in self._groups:
            self._groups[key] = self._loader.repository.group_exists(key)
        return isinstance(override.value(), dict) or not self._groups[key]

    def _compose(self, files: tuple[str, ...]) -> tuple[bytes, dict[str, Any]]:
        from hydra import compose
        from hydra.errors import HydraException
        from omegaconf import open_dict
        from omegaconf.errors import OmegaConfBaseException

        parsed = [self._parse(line) for line in files]
        if not any(o.is_hydra_override() or o.is_sweep_override() for o in parsed):
            with suppress(HydraException, OmegaConfBaseException):  # as Hydra itself says it below
                return self._without_hydra(files)
        cfg = compose("config", list(files), return_hydra_config=True)
        choices = dict(cfg.hydra.runtime.choices)
        with open_dict(cfg):
            del cfg["hydra"]
        return pickle.dumps(cfg), choices

    def _without_hydra(self, files: tuple[str, ...]) -> tuple[bytes, dict[str, Any]]:
        """What Hydra composes from files, but for its own."""
        from hydra._internal.config_repository import CachingConfigRepository
        from hydra._internal.defaults_list import create_defaults_list
        from omegaconf import OmegaConf, open_dict

        repository = CachingConfigRepository(self._loader.repository)
        read = repository.delegate.load_config

        def load(config_path: str) -> Any:
            # A copy for each config: merging changes what was read.
            if config_path not in self._files:
                self._files[config_path] = pickle.dumps(read(config_path=config_path))
            return pickle.loads(self._files[config_path])  # noqa: S301 - made here

        repository.delegate.load_config = load
        defaults = create_defaults_list(
            repo=repository,
            config_name="config",
            overrides_list=[self._parse(line) for line in files],
            prepend_hydra=True,
            skip_missing=False,
        )
        ours = [entry for entry in defaults.defaults if not (entry.config_path or "").startswith("hydra/")]
        cfg = self._loader._compose_config_from_defaults_list(defaults=ours, repo=repository)
        with open_dict(cfg):
            cfg.pop("hydra")
        OmegaConf.set_struct(cfg, True)
        return pickle.dumps(cfg), dict(defaults.overrides.known_choices)


def axes(jobs: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """What a grid varies: each key with its values, in their order."""
    found: dict[str, list[str]] = {}
    for override in itertools.chain.from_iterable(jobs):
        key, _, value = override.partition("=")
        found.setdefault(key, []).append(value)
    return {key: different for key, values in found.items() if len(different := list(dict.fromkeys(values))) > 1}
