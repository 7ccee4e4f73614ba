"""Checkpoints of a training: tensors as safetensors, the rest as JSON; never pickle.

Each member has two files: ``member-0-epoch-3.safetensors`` and ``member-0.json``. The JSON is
written last and names the other with its hash: what it says is complete. A process that is killed
in between leaves the checkpoint before it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from xsaga.errors import ModelError
from xsaga.paths import placed
from xsaga.reading import parsing, read_json, reason_of


@dataclass(frozen=True)
class Checkpoint:
    """How far a member is.

    Parameters
    ----------
    epochs : int
        Epochs that are done.
    tensors : dict of str to Tensor
        State of the training.
    notes : dict
        What else to keep; JSON values.
    """

    epochs: int
    tensors: dict[str, torch.Tensor]
    notes: dict[str, Any]


@dataclass(frozen=True)
class Checkpoints:
    """A folder of checkpoints.

    Parameters
    ----------
    folder : Path
        Made when the first is written.
    fingerprint : str
        Of data and settings; a checkpoint of another one is refused.
    """

    folder: Path
    fingerprint: str

    def save(
        self,
        member: int,
        epochs: int,
        tensors: Mapping[str, torch.Tensor],
        notes: Mapping[str, Any],
    ) -> None:
        """Put a checkpoint in place of the member's last one.

        Parameters
        ----------
        member, epochs : int
            Which member, and how many of its epochs are done.
        tensors : mapping of str to Tensor
            State of the training, on the CPU.
        notes : mapping
            What else to keep; JSON values.
        """
        data = safetensors.torch.save({name: each.contiguous() for name, each in tensors.items()})
        path = self.folder / f"member-{member}-epoch-{epochs}.safetensors"
        with placed(path) as temporary:
            temporary.write_bytes(data)
        content = {
            "fingerprint": self.fingerprint,
            "epochs": epochs,
            "file": path.name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "notes": dict(notes),
        }
        with placed(self._record(member)) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        for older in self.folder.glob(f"member-{member}-epoch-*.safetensors"):
            if older != path:
                older.unlink()

    def load(self, member: int) -> Checkpoint | None:
        """Read a member's checkpoint.

        Parameters
        ----------
        member : int
            Which member.

        Returns
        -------
        Checkpoint or None
            None where there is none.

        Raises
        ------
        ModelError
            If it is damaged, or of other data or settings.
        """
        record = self._record(member)

        def damaged(reason: str) -> ModelError:
            return ModelError(f"{record}: not a checkpoint ({reason}); begin anew with --restart")

        try:
            content = read_json(record)
            path = self.folder / Path(content["file"]).name
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != content["sha256"]:
                raise ValueError(f"{path.name} is not the file it was")
            with parsing(damaged):
                tensors = safetensors.torch.load(data)
            checkpoint = Checkpoint(int(content["epochs"]), tensors, dict(content["notes"]))
        except FileNotFoundError as error:
            if Path(str(error.filename)) == record:
                return None
            raise ModelError(f"{error.filename} is missing: begin anew with --restart") from None
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise damaged(reason_of(error)) from error
        if content.get("fingerprint") != self.fingerprint:
            raise ModelError(
                f"{record}: a checkpoint of other data or settings; begin anew with --restart"
            )
        return checkpoint

    def _record(self, member: int) -> Path:
        return self.folder / f"member-{member}.json"
