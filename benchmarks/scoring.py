"""Images per second of the shipped network: each engine, beside the networks as they were trained.

    python -m benchmarks.scoring [--images 512] [--rounds 3] [--weights simulated]
        [--batch-size N ...]

Prints Markdown tables. "Plain torch" is the network as it was trained: eager, float32, contiguous,
nothing folded, on a stretched batch that lies on the device. "Engine alone" runs batches that lie
on the device: what scoring could reach at best. All are measured in turn; every figure is the best
of the rounds. On a GPU the chip's limits are measured, too: a large matrix product, a copy in its
memory, and a copy from pinned memory of the host.
"""

from __future__ import annotations

import argparse
import os
import platform
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from xsaga.model.device import DTYPES, has_native_bf16, processor_name, resolve_device
from xsaga.model.engines import installed_engines
from xsaga.model.network import inference_copy
from xsaga.model.scoring import Scorer
from xsaga.model.weights import Model, load_model
from xsaga.run.scoring_speed import ScoringSpeeds, measure_scoring

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Cost:
    """What the members do for one image.

    Parameters
    ----------
    operations : float
        Floating-point operations of convolutions and matrix products.
    values : float
        Read and written by convolutions and matrix products, were all else done on the way.
    """

    operations: float
    values: float


def cost_of(model: Model) -> Cost:
    """Count what the members do for one image, without photometry."""
    card = model.card
    image = torch.zeros(1, len(card.bands), card.size, card.size)
    moved = 0

    def count(module: torch.nn.Module, given: tuple[Any, ...], answer: torch.Tensor) -> None:
        nonlocal moved
        del module
        tensors = [each for each in (*given, answer) if isinstance(each, torch.Tensor)]
        moved += sum(each.numel() for each in tensors)

    with ExitStack() as stack:
        flops = stack.enter_context(FlopCounterMode(display=False))
        stack.enter_context(torch.inference_mode())
        for member in model.networks:
            network = inference_copy(member, CPU, torch.float32)
            for module in network.modules():
                if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
                    stack.callback(module.register_forward_hook(count).remove)
            network(image)
    return Cost(float(flops.get_total_flops()), float(moved))


def seconds_on_gpu(work: Any, repeats: int = 20) -> float:
    """Measure the median time of some work by the GPU's own clock, after some to warm up."""
    for _ in range(3):
        work()
    taken = []
    for _ in range(repeats):
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begun.record()
        work()
        ended.record()
        ended.synchronize()
        taken.append(begun.elapsed_time(ended) / 1000)
    return float(np.median(taken))


def gpu_limits(device: torch.device) -> dict[str, float]:
    """Measure operations per second of matrix products, and bytes per second of copies."""
    limits = {}
    for name, dtype in DTYPES.items():
        one, other = (torch.randn(8192, 8192, device=device).to(dtype) for _ in range(2))
        limits[name] = 2 * 8192**3 / seconds_on_gpu(lambda one=one, other=other: one @ other)
    near, far = (torch.rand(1 << 29, device=device) for _ in range(2))
    limits["memory"] = 2 * 4 * len(near) / seconds_on_gpu(lambda: near.copy_(far))
    host = torch.rand(1 << 26, pin_memory=True)
    limits["host"] = (
        4 * len(host) / seconds_on_gpu(lambda: near[: len(host)].copy_(host, non_blocking=True))
    )
    return limits


def print_table(scorers: dict[str, Scorer], speeds: ScoringSpeeds) -> None:
    """Print the figures of all scorers."""
    print("| engine | batch | engine alone, images/s | memory | store | of alone | of plain |")
    print("|---|---|---|---|---|---|---|")
    print(f"| plain torch, float32 | 64 | {speeds.plain:,.0f} | | | | |")
    for name, speed in speeds.scorers.items():
        print(
            f"| {name} | {scorers[name].batch_size} | {speed.bare:,.0f} | {speed.memory:,.0f} "
            f"| {speed.store:,.0f} | {speed.memory / speed.bare:.0%}, "
            f"{speed.store / speed.bare:.0%} | {speed.bare / speeds.plain:.2f} × |"
        )
    print(f"\n{speeds.stored:,.0f} cutouts stored per second.")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", default="simulated")
    parser.add_argument("--batch-size", type=int, nargs="*", default=[])
    options = parser.parse_args()

    model, device = load_model(options.weights), resolve_device("auto")
    precisions = ["float32", *(["bf16"] if has_native_bf16(device) else [])]
    if device.type == "cuda":
        precisions.append("float16")
    scorers = {}
    for engine in installed_engines(device):
        for precision in precisions:
            for size in options.batch_size or [None]:
                name = f"{engine}, {precision}" + (f", {size}" if size else "")
                scorers[name] = Scorer(model, precision=precision, engine=engine, batch_size=size)
    cost = cost_of(model)
    name = torch.cuda.get_device_name() if device.type == "cuda" else processor_name()
    print(f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads;")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__};")
    print(f"{options.images} images in half precision, {len(model.networks)} members:")
    print(
        f"{cost.operations / 1e6:.0f} MFLOP and {cost.values / 1e6:.1f} million values in and out "
        "of layers for each image\n"
    )
    print_table(
        scorers, measure_scoring(model, scorers, images=options.images, rounds=options.rounds)
    )
    if device.type == "cuda":
        print_limits(cost, gpu_limits(device), 2 * 3 * model.card.size**2)


def print_limits(cost: Cost, limits: dict[str, float], image_bytes: int) -> None:
    """Print what the chip could do at most, were it kept busy with nothing else."""
    memory, host = limits["memory"], limits["host"]
    print(
        f"\nMeasured: {memory / 1e12:.2f} TB/s in its memory, {host / 1e9:.1f} GB/s from the host"
    )
    print(f"({host / image_bytes:,.0f} images/s).\n")
    print("| precision | TFLOP/s of products | images/s by operations | by bytes of layers |")
    print("|---|---|---|---|")
    for precision, dtype in DTYPES.items():
        rate, each = limits[precision], cost.values * dtype.itemsize
        print(
            f"| {precision} | {rate / 1e12:.0f} | {rate / cost.operations:,.0f} "
            f"| {memory / each:,.0f} |"
        )


if __name__ == "__main__":
    main()
