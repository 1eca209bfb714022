"""Tables and figures of README.md, made by the program itself, with the commands that make them."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README, IMAGES = ROOT / "README.md", ROOT / "outputs" / "gallery"
BEGIN, END = "<!-- gallery: begin, made by scripts/gallery -->", "<!-- gallery: end -->"
TABLES = ("daw2023r3/convection", "grosse2023influence/concrete_lds", "frantar2021mfac/optimizer")


@dataclass(frozen=True)
class Picture:
    """A figure of a run.

    Args:
        name: File in outputs/gallery, without its ending.
        figure: The run's own name for it.
        caption: What it shows.
        commands: Arguments of ``sciml train``; the figure is that of the last one's run.
    """

    name: str
    figure: str
    caption: str
    commands: tuple[str, ...]


DESK = (
    "optimizer=soap optimizer.lr=1e-2 'optimizer.betas=[0.9,0.9]' optimizer.precondition_frequency=2"
    " pinn/scheduler=linear trainer.max_steps=3000"
)
PICTURES = (
    Picture(
        "convection_r3",
        "u",
        "Solution, reference and error of a PINN, with the points that R3 sampling has gathered",
        (f"+experiment=daw2023r3/convection {DESK} seed=0",),
    ),
    Picture(
        "attribution_pinn",
        "scores_0",
        "Which collocation points made a PINN predict what it predicts at one point of space and time",
        ("+experiment=attribution/convection", "+experiment=attribution/pinn"),
    ),
    Picture(
        "pruning",
        "accuracy_against_sparsity",
        "Test accuracy against sparsity, pruned with M-FAC",
        ("+experiment=frantar2021mfac/pruning",),
    ),
)


def sciml(*arguments: str, cwd: Path = ROOT) -> str:
    command = [sys.executable, "-m", "sciml.cli", *arguments]
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


def tables() -> list[str]:
    lines = []
    for name in TABLES:
        printed = sciml("table", name, "--no-run", "--format", "md")
        lines += [f"`sciml table {name}`", "", "\n".join(shorter(printed)), ""]
    return lines


def shorter(printed: str) -> list[str]:
    """The table itself; what stands around it is in the command's own output."""
    lines = printed.splitlines()
    title = lines[0].removeprefix("## ")
    kept = [line for line in lines if line.startswith(("|", "### "))]
    return [
        f"**{title}**",
        "",
        *(f"\n**{line.removeprefix('### ')}**\n" if line.startswith("###") else line for line in kept),
    ]


def pictures() -> list[str]:
    IMAGES.mkdir(parents=True, exist_ok=True)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for picture in PICTURES:
            before = set(Path(folder).rglob("*.png"))
            for command in picture.commands:
                sciml("train", *shlex.split(command), "track.mode=disabled", cwd=Path(folder))
            made = {path.stem: path for path in set(Path(folder).rglob("*.png")) - before}
            if picture.figure not in made:
                sys.exit(f"gallery: the run of {picture.name} drew {', '.join(sorted(made))}, not {picture.figure}")
            save(made[picture.figure], IMAGES / f"{picture.name}.png")
            shown = "; ".join(f"`sciml train {command}`" for command in picture.commands)
            lines += [
                f"![{picture.caption}](outputs/gallery/{picture.name}.png)",
                "",
                f"{picture.caption}: {shown}",
                "",
            ]
    return lines


def save(figure: Path, target: Path) -> None:
    """At the size of a page, in few colours: it is committed."""
    from PIL import Image

    with Image.open(figure) as image:
        small = image.convert("RGB")
        small.thumbnail((1200, 1200))
        small.quantize(128).save(target, optimize=True)


def main() -> None:
    text = README.read_text()
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        sys.exit(f"gallery: README.md has no lines '{BEGIN}' and '{END}'")
    content = "\n".join([*tables(), *pictures()]).rstrip()
    README.write_text(f"{before}{BEGIN}\n\n{content}\n\n{END}{after}")


if __name__ == "__main__":
    main()
