"""``sciml doctor``: what works on this machine, what does not, and how to mend it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import screen

GOOD, FINE, BAD = "ok", "note", "bad"
_MARKS = {GOOD: "[green]ok  [/]", FINE: "[yellow]note[/]", BAD: "[bold red]bad [/]"}
MIN_FREE_GB = 2.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Args:
        name: What was looked at.
        state: ``ok``; ``note`` for what only some runs need; ``bad`` for what every run needs.
        text: What was found.
        remedy: What to do about it.
    """

    name: str
    state: str
    text: str
    remedy: str = ""


def examine() -> int:
    """Look at everything and print it; 1 if something is bad."""
    from rich.markup import escape

    console = screen.out()
    findings = [check() for check in CHECKS]
    for finding in findings:
        console.print(f"{_MARKS[finding.state]} [bold]{finding.name:<10}[/] {escape(finding.text)}", soft_wrap=True)
        if finding.remedy:
            console.print(f"                [cyan]{escape(finding.remedy)}[/]", soft_wrap=True)
    return int(any(finding.state == BAD for finding in findings))


def python() -> Finding:
    """The interpreter."""
    text = f"{sys.version.split()[0]} ({sys.executable})"
    good = sys.version_info >= (3, 11)
    return Finding("python", GOOD if good else BAD, text, "" if good else "sciml needs Python 3.11 or newer")


def packages() -> Finding:
    """The packages of pyproject.toml, as installed."""
    from importlib.metadata import PackageNotFoundError, requires, version

    missing = []
    for requirement in requires("sciml") or []:
        if "extra ==" not in requirement:
            name = requirement.split(";")[0].strip().split("<")[0].split(">")[0].split("=")[0].split("[")[0]
            try:
                version(name)
            except PackageNotFoundError:
                missing.append(name)
    if missing:
        return Finding("packages", BAD, f"missing: {', '.join(missing)}", "pip install sciml")
    return Finding("packages", GOOD, f"sciml {version('sciml')} and all it needs")


def torch() -> Finding:
    """Torch, and what it can run on."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("torch", BAD, f"cannot be imported: {error}", "install a torch build for this machine")
    text = f"{torch.__version__}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    return Finding("torch", GOOD, text)


def device() -> Finding:
    """Accelerators."""
    try:
        import torch
    except (ImportError, OSError):
        return Finding("device", BAD, "not known without torch")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Finding("device", GOOD, ", ".join(names))
    if shutil.which("nvidia-smi"):
        return Finding("device", FINE, "there is a driver, but torch sees no GPU", "install the CUDA build of torch")
    return Finding("device", FINE, "no GPU; runs use the CPU")


def compiler() -> Finding:
    """A C++ compiler, which compiled training steps need on the CPU."""
    from sciml.kernel.compiler import compiler as find

    found = find()
    if found is None:
        return Finding("compiler", FINE, "no C++ compiler: training steps are not compiled", "install g++ or clang++")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.cpp")
        source.write_text("#include <cmath>\nint main() { return std::isnan(0.0); }\n")
        command = [found, str(source), "-o", str(Path(folder, "probe"))]
        try:
            works = subprocess.run(command, capture_output=True, timeout=60).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            works = False
    if not works:
        remedy = "install the C++ standard library's headers"
        return Finding("compiler", FINE, f"{found} does not compile a program", remedy)
    return Finding("compiler", GOOD, found)


def wandb() -> Finding:
    """Mode of Weights & Biases."""
    mode = os.environ.get("WANDB_MODE", "offline")
    if mode not in ("offline", "online", "disabled"):
        return Finding("wandb", BAD, f"WANDB_MODE is {mode}", "set it to offline, online or disabled, or unset it")
    if mode == "online" and not _wandb_key():
        return Finding("wandb", BAD, "online, but nobody is logged in", "wandb login, or unset WANDB_MODE")
    hint = {"offline": "look at runs with `wandb leet`, upload them later with `wandb sync`"}.get(mode, "")
    return Finding("wandb", GOOD, f"{mode}{f': {hint}' if hint else ''}")


def _wandb_key() -> bool:
    import netrc

    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return any("wandb" in host for host in netrc.netrc().hosts)
    except (OSError, netrc.NetrcParseError):
        return False


def slurm() -> Finding:
    """A SLURM cluster."""
    if not shutil.which("sbatch"):
        return Finding("slurm", FINE, "not on this machine")
    try:
        answer = subprocess.run(["sinfo", "-h", "-o", "%P %a %D"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("slurm", FINE, f"sinfo does not answer: {error}", "ask the cluster's administrators")
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or ["sinfo failed"])[0]
        return Finding(
            "slurm", FINE, f"the controller does not answer: {reason}", "check SLURM_CONF and that slurmctld runs"
        )
    return Finding("slurm", GOOD, f"partitions: {'; '.join(answer.stdout.split(chr(10))[:5]).strip('; ')}")


def launchers() -> Finding:
    """Hydra's launchers for more than one run at a time."""
    from importlib.util import find_spec

    missing = [name for name, module in (("joblib", "joblib"), ("submitit", "submitit")) if find_spec(module) is None]
    if missing:
        return Finding("launchers", FINE, f"without {', '.join(missing)}", 'pip install "sciml[launch]"')
    return Finding("launchers", GOOD, "basic, joblib, submitit")


def cache() -> Finding:
    """Where compiled code is kept."""
    folder = Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR", tempfile.gettempdir()))
    return _writable("cache", folder, "set TORCHINDUCTOR_CACHE_DIR to a folder that can be written")


def disk() -> Finding:
    """Room for run folders below the current folder."""
    outputs = Path("outputs")
    finding = _writable(
        "disk", outputs if outputs.is_dir() else Path("."), "choose another place with outputs=<folder>"
    )
    if finding.state == BAD:
        return finding
    free = shutil.disk_usage(".").free / 2**30
    if free < MIN_FREE_GB:
        return Finding("disk", BAD, f"{free:.1f} GB free", "free some, or choose another place with outputs=<folder>")
    return Finding("disk", GOOD, f"{free:.0f} GB free, {outputs.resolve()} can be written")


def _writable(name: str, folder: Path, remedy: str) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(name, BAD, f"{folder} cannot be written: {error.strerror}", remedy)
    return Finding(name, GOOD, f"{folder} can be written")


CHECKS: tuple[Callable[[], Finding], ...] = (
    python, packages, torch, device, compiler, wandb, slurm, launchers, cache, disk,
)  # fmt: skip
