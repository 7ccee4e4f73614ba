"""Which processor a network runs on, and in which precision."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal, get_args

import torch

from xsaga.errors import ModelError

Precision = Literal["float32", "bf16", "float16"]
"""Precision of the convolutions."""

PrecisionChoice = Literal["auto", "float32", "bf16", "float16"]
"""A precision, or the fastest that the processor has hardware for."""

DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
}

_NATIVE_BF16_PROBES = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Find the device to run on.

    Parameters
    ----------
    device : str or torch.device
        ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:<number>``.

    Returns
    -------
    torch.device

    Raises
    ------
    ModelError
        If it is not a device's name or the device is not there.
    """
    available = torch.cuda.is_available()
    if device == "auto":
        return torch.device("cuda" if available else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ModelError(f"device {device!r}: use auto, cpu, cuda or cuda:<number>") from error
    if found.type == "cpu":
        return torch.device("cpu")
    if found.type != "cuda":
        raise ModelError(f"device {device!r}: use auto, cpu, cuda or cuda:<number>")
    if not available or (found.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"device {device!r}: torch finds no such GPU here; use auto or cpu")
    return found


def has_native_bf16(device: torch.device) -> bool:
    """Tell whether a device computes in bfloat16 natively, so that it is worth using.

    Parameters
    ----------
    device : torch.device
        A CPU (AVX512-BF16 or AMX, as torch reports them) or a GPU (compute capability ≥ 8.0).

    Returns
    -------
    bool
        False where an older torch cannot tell.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Private names: torch's public queries also say yes where bfloat16 is emulated and slow.
    probes = (getattr(torch.cpu, name, None) for name in _NATIVE_BF16_PROBES)
    return any(probe is not None and bool(probe()) for probe in probes)


def resolve_precision(precision: str, device: torch.device) -> Precision:
    """Find the precision to run in.

    Parameters
    ----------
    precision : str
        ``auto`` (bf16 where `has_native_bf16`, else float32), ``float32``, ``bf16`` or
        ``float16`` (GPU only).
    device : torch.device
        Where the network runs.

    Returns
    -------
    Precision

    Raises
    ------
    ModelError
        If it is not a precision's name or the device cannot do it.
    """
    if precision == "auto":
        return "bf16" if has_native_bf16(device) else "float32"
    if precision == "float16" and device.type == "cpu":
        raise ModelError("precision 'float16' needs a GPU; use bf16 or float32 on a CPU")
    for known in get_args(Precision):
        if precision == known:
            return known  # type: ignore[no-any-return]
    raise ModelError(f"precision {precision!r}: use auto, {', '.join(get_args(Precision))}")


def exact_float32(device: torch.device) -> AbstractContextManager[None]:
    """Keep cuDNN from its TF32 shortcut, whose 10-bit mantissa is no float32, and from autotuning.

    Parameters
    ----------
    device : torch.device
        Where the network runs; on a CPU there is nothing to do.

    Returns
    -------
    context manager
    """
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )


def processor_name() -> str:
    """Name the processor, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
