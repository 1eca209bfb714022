"""Times `sciml report` on made-up runs with curves and figures, and how long headless Chromium takes to load it."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from sciml.folder import run_folder
from sciml.report.gather import run_data, runs_below
from sciml.report.page import page

REPEATS = 5


def make(outputs: Path, runs: int) -> None:
    random = np.random.default_rng(0)
    figure = Figure(figsize=(12.6, 3.4), layout="constrained")
    for panel in figure.subplots(1, 3):
        figure.colorbar(panel.imshow(random.random((64, 64)).cumsum(0)), ax=panel)
    figure.savefig(outputs / "solution.png", dpi=150)
    picture = (outputs / "solution.png").read_bytes()
    for i in range(runs):
        folder = run_folder(outputs, f"paper{i % 5}/case", f"{i // 4:010x}", i % 4)
        folder.create()
        choices = {"experiment": f"paper{i % 5}/case", "pinn/collocation": ["fixed", "r3"][i % 2]}
        tree = {"seed": i % 4, "pinn": {"n_points": 1000 + i}, "optimizer": {"lr": 1e-3}}
        folder.write_config({"experiment": choices["experiment"], "choices": choices, "config": tree})
        losses = np.exp(-np.arange(1000) / 300) * random.lognormal(0, 0.1, (4, 1000))
        lines = [
            {"step": 100 * s, **{f"train/term{k}": float(v) for k, v in enumerate(losses[:, s])}} for s in range(1000)
        ]
        folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
        folder.figures.mkdir()
        for name in ("solution", "error"):
            (folder.figures / f"{name}.png").write_bytes(picture)
        row = {"experiment": choices["experiment"], "family": "pinn", "hash": f"{i // 4:010x}", "seed": i % 4}
        folder.write_row(
            row | {"metrics": {"rel_l2": float(losses[0, -1])}, "cost": {"steps": 1000}, "wall_seconds": 30.0}
        )


def load_seconds(file: Path) -> tuple[list[float], list[float]]:
    """Seconds until the page is loaded, and until a click on a head has sorted the runs, in fresh browsers."""
    import shutil

    from selenium import webdriver

    loads, sorts = [], []
    for _ in range(REPEATS):
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
            options.add_argument(argument)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver") or ""))
        try:
            start = time.perf_counter()
            driver.get(file.as_uri())  # returns at the load event
            loads.append(time.perf_counter() - start)
            start = time.perf_counter()
            driver.execute_script("document.querySelectorAll('#runs-table thead button')[4].click()")
            driver.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0]))")  # painted
            sorts.append(time.perf_counter() - start)
        finally:
            driver.quit()
    return loads, sorts


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder)
        make(outputs, runs)
        start = time.perf_counter()
        found = [run for f in runs_below(outputs) if (run := run_data(f, f.path.relative_to(outputs).as_posix(), []))]
        file = outputs / "report.html"
        file.write_text(page([], found, [], title="benchmark"))
        print(f"{len(found)} runs, 2 figures and 4 curves each: {file.stat().st_size / 2**20:.1f} MiB")
        print(f"written in {time.perf_counter() - start:.1f} s")
        for name, seconds in zip(("loaded", "sorted and painted"), load_seconds(file), strict=True):
            spread = f"{min(seconds):.2f} to {max(seconds):.2f}, {REPEATS} fresh browsers"
            print(f"{name} in {statistics.median(seconds):.2f} s ({spread})")


if __name__ == "__main__":
    main()
