"""Exported network as a model of the Hugging Face hub. Needs the package huggingface_hub (`fairnas[hub]`)."""

import shutil
from pathlib import Path
from typing import Any

import torch

from fairnas.errors import ExportError
from fairnas.export.bundle import CARD, CONFIG, INT8, ONNX, PROGRAM, WEIGHTS, load
from fairnas.export.seal import FACTS, digests_beside, require_intact
from fairnas.export.session import Labels
from fairnas.export.weights import LoadedNetwork

try:
    from huggingface_hub import PyTorchModelHubMixin, snapshot_download
except ImportError:
    raise ExportError("the Hugging Face hub needs huggingface_hub; pip install huggingface_hub") from None

_FILES = (WEIGHTS, CONFIG, ONNX, INT8, PROGRAM, CARD, FACTS)


class HubModel(LoadedNetwork, PyTorchModelHubMixin, library_name="fairnas", tags=["neural-architecture-search"]):
    """Network of an exported folder: `HubModel(FOLDER).push_to_hub("USER/NAME")` pushes the whole folder.

    `HubModel.from_pretrained("USER/NAME")` downloads one, checks it as `fairnas.load` does, and returns the network.
    """

    def __init__(self, folder: str) -> None:
        """Load a folder that `fairnas export` wrote. Raises `ModelFileError`."""
        network = load(folder)
        super().__init__(network.space, network.genome, Labels(network.classes, network.preprocessing))
        self.load_state_dict(network.state_dict())
        self.eval()
        self._folder = Path(folder)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Copy the folder's files, as they were exported.

        Raises `ExportError` if the weights were changed since, because the other files would not fit them.
        """
        exported = load(self._folder).state_dict()
        if not all(torch.equal(tensor.cpu(), exported[name]) for name, tensor in self.state_dict().items()):
            raise ExportError(
                f"the weights were changed since {self._folder} was loaded, and its ONNX model and measures are of "
                "those before; export the network again, then push it"
            )
        digests = digests_beside(self._folder / ONNX, is_needed=True)
        for name in _FILES:
            if (self._folder / name).exists():
                if name != CARD:  # which people may complete
                    require_intact(self._folder / name, digests)  # the model card is meant to be edited
                shutil.copyfile(self._folder / name, save_directory / name)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **model_kwargs: Any,
    ) -> "HubModel":
        """Load a folder or a repository; called by `from_pretrained`."""
        if Path(model_id).is_dir():
            return cls(model_id)
        return cls(
            snapshot_download(
                model_id,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
                allow_patterns=list(_FILES),
            )
        )
