"""The commands. In a job of SLURM's the first import sees to it that a notice does not end what has not yet begun."""

from sciml.signals import shield

shield()
