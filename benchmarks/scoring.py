"""Images per second of `Scorer.score`, against a bare loop of the same network.

Run ``python benchmarks/scoring.py [--images 2048] [--repeats 3]``; it prints a Markdown table.
The bare loop runs the network alone, in the same precision and batch size, on one batch that is
already stretched and in memory: what scoring could reach at best. Every figure is the best of the
repeats.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from xsaga.model.calibration import Calibration
from xsaga.model.card import ModelCard, TrainingSet
from xsaga.model.device import DTYPES, has_native_bf16, processor_name, resolve_device
from xsaga.model.network import build_network, inference_copy
from xsaga.model.recipes import RECIPES
from xsaga.model.scoring import Scorer
from xsaga.model.weights import Model

SIZE, SCALE = 144, 0.262
RECIPE = RECIPES["xsaga"]


def random_model() -> Model:
    """Make a model with random weights: the speed does not depend on them."""
    torch.manual_seed(0)
    card = ModelCard(
        name="random",
        version="0",
        kind="random weights",
        simulated=True,
        architecture=RECIPE.architecture,
        members=1,
        bands=("g", "r", "z"),
        pixel_scale=SCALE,
        size=SIZE,
        field_of_view=SIZE * SCALE,
        stretch=RECIPE.stretch,
        image_release=("simulated",),
        training_set=TrainingSet("none", {}),
        metrics={},
        calibration=Calibration(),
        xsaga_version="0",
        created="2026-01-01",
    )
    return Model(card, (build_network(card.architecture).eval(),))


def best_rate(work: Callable[[], object], images: int, repeats: int) -> float:
    """Give images per second of the fastest repeat, after one to warm up."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return images / min(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    device = resolve_device("auto")
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name() if on_gpu else processor_name()
    model = random_model()
    batch_size = Scorer(model).batch_size
    count = max(1, options.images // batch_size) * batch_size
    random = np.random.default_rng(0)
    level = np.array(RECIPE.stretch.softening, dtype=np.float32)[:, None, None]
    images = np.empty((count, 3, SIZE, SIZE), dtype=np.float16)
    for start in range(0, count, 256):
        shape = images[start : start + 256].shape
        images[start : start + 256] = random.standard_normal(shape, dtype=np.float32) * level

    threads = f"{os.cpu_count()} cores; {torch.get_num_threads()} threads"
    print(f"{name}, {threads}; {platform.platform(terse=True)};")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__};")
    print(f"{count} images of 3×{SIZE}×{SIZE} in half precision, batches of {batch_size};")
    print(f"native bf16: {'yes' if has_native_bf16(device) else 'no'}\n")
    print("| precision | bare loop, images/s | score, memory | score, memmap | memmap of bare |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cutouts.npy"
        np.save(path, images)
        on_disk = np.load(path, mmap_mode="r")
        for precision in ("float32", "bf16"):
            network = inference_copy(model.networks[0], device, DTYPES[precision])
            batch = RECIPE.stretch.apply(torch.from_numpy(images[:batch_size]).to(device))
            batch = batch.to(DTYPES[precision])

            def bare_loop(network: torch.nn.Module = network, batch: torch.Tensor = batch) -> None:
                with torch.inference_mode():
                    for _ in range(count // batch_size):
                        logits = network(batch)
                    logits.cpu()  # waits for a GPU

            scorer = Scorer(model, precision=precision)
            bare, memory, disk = (
                best_rate(work, count, options.repeats)
                for work in (
                    bare_loop,
                    lambda scorer=scorer: scorer.score(images),
                    lambda scorer=scorer: scorer.score(on_disk),
                )
            )
            print(f"| {precision} | {bare:.0f} | {memory:.0f} | {disk:.0f} | {disk / bare:.0%} |")


if __name__ == "__main__":
    main()
