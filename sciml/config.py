"""The composed config: what may stand in it, and what identifies a run.

A config is data from outside. Before anything is built the whole tree is held against the
constructors it names: every ``_target_`` must be trusted, every key beside it must be a parameter
of that constructor with a value of the annotated kind, every required parameter must be there. So
no dataclass mirrors a constructor, a typing error cannot pass, and a config file from elsewhere
cannot run code.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from sciml.errors import ConfigError
from sciml.hints import fits, hints_of, refusal
from sciml.ranges import Range, Seed

FAMILIES = ("pinn", "operator", "diffusion", "influence")
TRUSTED = ("sciml.", "torch.optim.", "torch.nn.", "lightning.pytorch.")
# Of Lightning only what a Trainer is put together from. The rest of it also reads pickles, downloads
# data and starts programs.
_LIGHTNING = tuple(
    f"lightning.pytorch.{part}."
    for part in ("trainer", "callbacks", "strategies", "plugins", "accelerators", "profilers")
)
SHARED = ("network", "optimizer")  # slots that a family refers to by interpolation
# Keys that cannot change a result and so do not count for the identity of a run.
NEUTRAL = ("seed", "paper", "track", "checkpoint", "outputs")
# What every Trainer gets from the runner; a config that sets one of these would be read by nobody.
RUNNERS: dict[str, Any] = {
    "logger": False,  # the tracker, where there is one
    "max_epochs": -1,
    "log_every_n_steps": 1,  # a batch is a chunk of steps; the module chooses how many
    "num_sanity_val_steps": 0,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}
# What config.yaml's own values do not tell about those that may take their place.
_SETTINGS: dict[str, Any] = {
    "seed": Seed,
    "threads": Annotated[int, Range(1, 4096)],
    "track.mode": Literal["offline", "online", "disabled"],
}
_HYDRA_KEYS = frozenset({"_target_", "_partial_"})
# Hydra's other ways to build: none is needed, and each would let a node past the checks below.
_NOT_ALLOWED = frozenset({"_args_", "_convert_", "_recursive_"})

_REFERENCE = re.compile(r"\$\{[^:${}]+\}")  # to another node of the config, not to a resolver

Tree = dict[str, Any]
Origin = Callable[[str], "str | None"]


def suggest(word: str, options: Iterable[str], n: int = 3) -> list[str]:
    """The options that ``word`` may have been meant to be: close in spelling, or with the same last part."""
    options = list(options)
    hits = difflib.get_close_matches(word, options, n=n, cutoff=0.6)
    leaf = word.rsplit(".", 1)[-1]
    return (
        hits
        or difflib.get_close_matches(leaf, options, n=n)
        or [o for o in options if o.rsplit(".", 1)[-1] == leaf][:n]
    )


def did_you_mean(word: str, options: Iterable[str], prefix: str = "") -> str:
    """``"; did you mean a, b?"`` or the empty string; ``prefix`` is put before each suggestion."""
    hits = [f"{prefix}{hit}" for hit in suggest(word, options)]
    return f"; did you mean {', '.join(hits)}?" if hits else ""


@cache
def base_keys() -> Mapping[str, Any]:
    """The keys that ``conf/config.yaml`` gives to every run, with their nested keys."""
    import yaml

    tree = yaml.safe_load(files("sciml.conf").joinpath("config.yaml").read_text())
    return {key: value for key, value in tree.items() if key not in ("defaults", "hydra")}


def family_of(tree: Mapping[str, Any]) -> str:
    """The one family of a config.

    Raises:
        ConfigError: None or more than one family is there.
    """
    found = [name for name in FAMILIES if name in tree]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError("no experiment is chosen: add +experiment=<paper>/<case> (see: sciml list experiments)")
    raise ConfigError(f"a run has one family, this config has {len(found)}: {', '.join(found)}")


def digest(tree: Mapping[str, Any]) -> str:
    """Ten hex digits that identify a resolved config up to what cannot change its result."""
    kept = {key: value for key, value in tree.items() if key not in NEUTRAL}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:10]


def target(path: str, trust: Iterable[str] = (), builtin: tuple[str, ...] = TRUSTED) -> Any:
    """The class or function that a ``_target_`` names.

    Args:
        path: Dotted name.
        trust: Packages that the user trusts beside the built-in ones.
        builtin: Prefixes that are trusted without being named by the user.

    Raises:
        ConfigError: The name is not trusted, does not exist, or is defined elsewhere than it says.
    """
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        raise ConfigError(f"_target_ must be the dotted name of a class, not {path!r}")
    own = tuple(f"{package.rstrip('.')}." for package in trust)
    prefixes = (*builtin, *own)
    if not path.startswith(prefixes):
        raise ConfigError(
            f"_target_ {path} is not trusted; allowed are {', '.join(p + '*' for p in prefixes)}"
            " (trust a package of your own with --trust PACKAGE)"
        )
    module_name, _, name = path.rpartition(".")
    if path.startswith("sciml.") and (module_name.startswith("sciml.cli") or module_name.count(".") < 2):
        raise ConfigError(f"_target_ {path} is part of the runner, not something a config can build")
    if any(part.startswith("_") for part in path.split(".")) and builtin == TRUSTED and not path.startswith(own):
        raise ConfigError(f"_target_ {path} is private to its package")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except ModuleNotFoundError as error:
        if error.name and not module_name.startswith(error.name):
            raise ConfigError(f"_target_ {path} needs the package {error.name}, which is not installed") from error
        raise ConfigError(f"_target_ {path}: there is no module {error.name or module_name}") from error
    except AttributeError as error:
        options = [key for key in dir(importlib.import_module(module_name)) if not key.startswith("_")]
        raise ConfigError(f"_target_ {path}: {module_name} has no {name}{did_you_mean(name, options)}") from error
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"_target_ {path}: {module_name} cannot be imported: {reason}") from error
    # A module under a trusted prefix also holds what it imported: `sciml.pinn.module.torch` must not pass.
    home = getattr(found, "__module__", None) or ""
    if not (inspect.isclass(found) or inspect.isfunction(found)) or not f"{home}.".startswith(prefixes):
        raise ConfigError(f"_target_ {path} is not a class or function defined in a trusted package")
    if home.startswith("lightning.") and not (inspect.isclass(found) and f"{home}.".startswith((*_LIGHTNING, *own))):
        raise ConfigError(
            f"_target_ {path} is not a part of a Trainer: allowed are {', '.join(p + '*' for p in _LIGHTNING)}"
        )
    return found


def check(
    tree: Mapping[str, Any], raw: Mapping[str, Any] | None, *, trust: Iterable[str] = (), origin: Origin | None = None
) -> str:
    """Hold a config against everything that it names.

    Args:
        tree: The resolved config as plain dicts and lists, without the ``hydra`` node.
        raw: The same config with its interpolations unresolved; None for one that was filed resolved.
        trust: Packages that the user trusts.
        origin: Says which file or override gave a key, for the message.

    Returns:
        The family's name.

    Raises:
        ConfigError: Something is wrong; all that was found, one line each.
    """
    problems = list(_top_level(tree, raw))
    for key, node in tree.items():
        # Filed resolved, a config holds its shared slots twice: at the top and where the family refers to them.
        if raw is not None or key not in SHARED:
            problems += _node(node, raw[key] if raw is not None else None, key, tuple(trust))
    if problems:
        lines = []
        for key, message in problems:
            place = origin(key) if origin else None
            # An experiment sets it for another class than the one that the user has chosen.
            left = message.startswith("there is no setting") and ", for " in (place or "")
            remedy = f"; leave it out with ~{key}" if left else ""
            lines.append(message + (f" (from {place}{remedy})" if place else ""))
        raise ConfigError("\n".join(dict.fromkeys(lines)))
    return family_of(tree)


def check_node(node: Mapping[str, Any], key: str, *, trust: Iterable[str] = ()) -> None:
    """Hold a part of a config, which stands for itself, against the constructors that it names.

    Args:
        node: The part, resolved; its ``_target_`` says what it makes.
        key: What messages call it.
        trust: Packages that the user trusts.

    Raises:
        ConfigError: Something is wrong; all that was found, one line each.
    """
    problems = [message for _, message in _node(node, None, key, tuple(trust))]
    if "_target_" not in node:
        problems.insert(0, f"{key} names no class: its _target_ is missing")
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def _top_level(tree: Mapping[str, Any], raw: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    known = [*base_keys(), *FAMILIES, *SHARED, "trainer"]
    for key in (*base_keys(), "trainer"):
        if key not in tree:
            yield key, f"{key} is missing: every run needs it"
    for key, value in tree.items():
        if key == "experiment":
            yield key, "an experiment's file holds settings below the line '# @package _global_' with which it begins"
        elif key not in known:
            yield key, f"there is no setting {key}{did_you_mean(str(key), (*known, '+experiment'))}"
        elif key in base_keys():
            yield from _plain(value, base_keys()[key], key)
    if isinstance(trainer := tree.get("trainer"), Mapping):
        for key in RUNNERS.keys() & trainer.keys():
            yield f"trainer.{key}", f"trainer.{key} is set by the runner and cannot be changed"
    families = json.dumps([raw.get(family) for family in FAMILIES], default=str) if raw is not None else None
    for key in SHARED:
        if key in tree and families is not None and f"${{{key}}}" not in families:
            yield key, f"nothing in this config reads {key}; remove it"


def _plain(value: Any, base: Any, key: str) -> Iterator[tuple[str, str]]:
    """A setting without constructor: of the kind, and with exactly the keys, that config.yaml gives it."""
    if isinstance(base, Mapping):
        if not isinstance(value, Mapping):
            yield key, f"{key} must be a group of settings ({', '.join(base)}), not {value!r}"
            return
        for name in base:
            if name not in value:
                yield f"{key}.{name}", f"{key}.{name} is missing: every run needs it"
        for name, item in value.items():
            if name in base:
                yield from _plain(item, base[name], f"{key}.{name}")
            else:
                yield f"{key}.{name}", f"there is no setting {key}.{name}{did_you_mean(str(name), base, f'{key}.')}"
        return
    kind = float if type(base) is int else type(base)  # a number, such as a time, may have a fraction
    hint = _SETTINGS.get(key, kind)
    if base is not None and not fits(value, hint):
        yield key, f"bad value for {key}: {refusal(value, hint)}"


def _node(node: Any, raw: Any, key: str, trust: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(raw, str) and _REFERENCE.fullmatch(raw):
        return  # stands, and is judged, where it refers to; what a resolver makes stands nowhere else
    if isinstance(node, (list, tuple)):
        for i, item in enumerate(node):
            yield from _node(item, raw[i] if isinstance(raw, (list, tuple)) else None, f"{key}.{i}", trust)
    if key in (*FAMILIES, *SHARED, "trainer") and not (isinstance(node, Mapping) and "_target_" in node):
        yield key, f"{key} names no class: its _target_ is missing"
    if not isinstance(node, Mapping):
        return
    if "_target_" in node:
        yield from _target_node(node, raw if isinstance(raw, Mapping) else {}, key, trust)
    for name, item in node.items():
        if not isinstance(name, str):
            yield f"{key}.{name}", f"{key} has the key {name!r}, which must be text: put it in quotes"
        yield from _node(item, raw.get(name) if isinstance(raw, Mapping) else None, f"{key}.{name}", trust)


def _target_node(
    node: Mapping[str, Any], raw: Mapping[str, Any], key: str, trust: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    try:
        constructor = target(node["_target_"], trust)
    except ConfigError as error:
        yield f"{key}._target_", f"{key}: {error}"
        return
    parameters = dict(inspect.signature(constructor).parameters)
    parameters.pop("self", None)
    named = {n: p for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    hints = hints_of(constructor)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if not isinstance(node.get("_partial_", False), bool):
        yield f"{key}._partial_", f"bad value for {key}._partial_: {node['_partial_']!r} is not true or false"
    for name in node:
        if name in _NOT_ALLOWED:
            yield f"{key}.{name}", f"{key}.{name} is not allowed: give each parameter by its name"
        elif name not in named and name not in _HYDRA_KEYS and not open_ended:
            yield f"{key}.{name}", f"there is no setting {key}.{name}{did_you_mean(str(name), named, f'{key}.')}"
    for name, parameter in named.items():
        if name not in node:
            if parameter.default is parameter.empty and not node.get("_partial_"):
                yield key, f"{key}.{name} is missing: {constructor.__name__} needs it"
        elif isinstance(node[name], Mapping) and _REFERENCE.fullmatch(str(raw.get(name))):
            continue  # judged where it stands
        elif name in hints and not (
            fits(node[name], hints[name]) or (node[name] is None and parameter.default is None)
        ):
            yield f"{key}.{name}", f"bad value for {key}.{name}: {refusal(node[name], hints[name])}"
