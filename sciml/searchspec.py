"""What a search looks for, as filed in ``study.json``: two searches are the same if this is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sciml.errors import UsageError
from sciml.space import Direction, Parameter


@dataclass(frozen=True)
class Spec:
    """What is searched.

    Args:
        experiment: Name of the experiment.
        overrides: What is the same in every trial, without the seed.
        space: What is chosen.
        objective: Metric of the row; None for the lowest held-out loss.
        direction: ``minimize`` or ``maximize``.
        seeds: Of the runs of a trial, whose mean is its value.
        configs: Identity of the frozen configs.
    """

    experiment: str
    overrides: tuple[str, ...]
    space: tuple[Parameter, ...]
    objective: str | None
    direction: Direction
    seeds: tuple[int, ...]
    configs: str

    def identity(self) -> dict[str, Any]:
        """What makes two searches the same one, by the words that a message has for it."""
        return {
            "search space": [asdict(p) for p in sorted(self.space, key=lambda p: p.name)],
            "objective": [self.objective, self.direction],
            "seeds": list(self.seeds),
            "config": self.configs,
        }

    @property
    def prefix(self) -> str:
        """What the names of all searches of this experiment begin with."""
        return f"search-{self.experiment.replace('/', '-')}-"

    @property
    def name(self) -> str:
        """Of the study's folder."""
        digest = hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()
        return f"{self.prefix}{digest[:8]}"


@dataclass(frozen=True)
class Frozen:
    """A composed config without what a trial chooses.

    Args:
        groups: Options of the groups that a trial chooses, by name of the group.
        choices: Hydra's record of which option each group was filled from.
        raw: The config, unresolved.
    """

    groups: Mapping[str, str]
    choices: Mapping[str, Any]
    raw: Mapping[str, Any]


def relatives(outputs: Path, spec: Spec) -> list[tuple[str, list[str]]]:
    """Other searches of this experiment, the latest first, and in what this one differs from each."""
    found = []
    files = [f for f in (outputs / ".sweeps").glob(f"{spec.prefix}*/study.json") if f.parent.name != spec.name]
    for file in sorted(files, key=lambda f: -f.stat().st_mtime):
        try:
            other = read_spec(file)
        except UsageError:
            continue  # named when somebody asks for it
        mine, theirs = spec.identity(), other.identity()
        if other.experiment == spec.experiment:
            found.append((file.parent.name, [word for word in mine if mine[word] != theirs[word]]))
    return found


def read_spec(file: Path) -> Spec:
    """Read one ``study.json``.

    Raises:
        UsageError: It is missing or damaged; the message names the file.
    """
    try:
        tree = json.loads(file.read_text())
        space = tuple(Parameter(**{**item, "choices": tuple(item["choices"])}) for item in tree.pop("space"))
        return Spec(**{**tree, "overrides": tuple(tree["overrides"]), "seeds": tuple(tree["seeds"]), "space": space})
    except FileNotFoundError:
        raise UsageError(f"{file.parent} is not the folder of a search: it has no {file.name}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{file} is damaged: {str(error).splitlines()[0]}") from error
