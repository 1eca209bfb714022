"""Look at every job of a multirun before the first one starts."""

from __future__ import annotations

from collections.abc import Sequence

from sciml.errors import ConfigError, UsageError

from .origin import hydra_session, with_config_dir

COMPOSED = 64  # jobs composed beforehand; of a larger sweep the first ones stand for the others


def check_jobs(overrides: Sequence[str], config_dir: str | None) -> int:
    """Compose the jobs of a sweep, so that a mistake in the last one does not wait for all others.

    Returns:
        The number of jobs; 0 where the user's own sweeper decides.

    Raises:
        ConfigError: A job's config has a mistake; the message names the job.
        HydraException: A job does not compose.
    """
    from hydra import compose
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if any(override.lstrip("+").startswith("hydra/sweeper=") for override in overrides):
        return 0
    from sciml.config import family_of

    from .request import plain

    with hydra_session(config_dir):
        loader = GlobalHydra.instance().config_loader()
        given = [o for o in overrides if not o.lstrip("+~").startswith("hydra")]
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(given)
        jobs = [job for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]
        for job in jobs[:COMPOSED]:
            try:
                tree, _ = plain(compose("config", with_config_dir(job, config_dir)))
                family_of(tree)
            except UsageError as error:
                raise ConfigError(f"job {' '.join(job)}: {error}") from error
    return len(jobs)
