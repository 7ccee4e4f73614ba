"""Images per second of the shipped network: each engine, beside plain torch.

Run ``python benchmarks/scoring.py [--images 512] [--repeats 3] [--weights simulated]``; it prints a
Markdown table. "Plain torch" is the network as it was trained: eager, float32, contiguous, nothing
folded, on a stretched batch in memory. The bare loop is an engine alone, on batches that lie in its
buffers: what scoring could reach at best. All are measured in turn; every figure is the best of
the repeats.
"""

from __future__ import annotations

import argparse
import os
import platform

import numpy as np
import torch

from xsaga.model.device import has_native_bf16, processor_name, resolve_device
from xsaga.model.engines import installed_engines
from xsaga.model.measure import cost_of, measure_scoring
from xsaga.model.scoring import Scorer
from xsaga.model.weights import load_model


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--weights", default="simulated")
    options = parser.parse_args()

    model, device = load_model(options.weights), resolve_device("auto")
    precisions = ("float32", "bf16") if has_native_bf16(device) else ("float32",)
    scorers = {
        f"{engine}, {precision}": Scorer(model, precision=precision, engine=engine)
        for engine in installed_engines(device)
        for precision in precisions
    }
    plain, rates = measure_scoring(scorers, model, images=options.images, rounds=options.repeats)
    assert plain is not None
    cost = cost_of(model)
    name = torch.cuda.get_device_name() if device.type == "cuda" else processor_name()
    print(f"{name}, {os.cpu_count()} cores; {torch.get_num_threads()} threads;")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__};")
    print(f"{options.images} images in half precision, {len(model.networks)} members:")
    print(f"{cost.flops / 1e6:.0f} MFLOP and {cost.bytes / 1e6:.0f} MB of layers for each image\n")
    print("| engine | batch | bare, images/s | memory | disk | disk of bare | of plain torch |")
    print("|---|---|---|---|---|---|---|")
    print(f"| plain torch, float32 | 64 | {plain:.0f} | | | | |")
    for what, rate in rates.items():
        print(
            f"| {what} | {scorers[what].batch_size} | {rate.bare:.0f} | {rate.memory:.0f} "
            f"| {rate.disk:.0f} | {rate.disk / rate.bare:.0%} | {rate.disk / plain:.2f} × |"
        )


if __name__ == "__main__":
    main()
