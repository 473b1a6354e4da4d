"""Feature spaces in which sets of images are compared: a network, and what distances in its
features are called.
"""

import hashlib
import io
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from deep.content_cache import cached_arrays, digest
from deep.metrics.inception import INCEPTION_HASH, Resize, load_inception, to_rgb
from deep.metrics.label_encoder import EncoderTraining, LabelEncoder, train_encoder
from stability.diffusion.float64_device import float64_device
from stability.runs.untrusted import UntrustedFileError, printable, read_bytes

__all__ = [
    "FeatureSpace",
    "cached_features",
    "extract",
    "inception_space",
    "label_encoder_space",
    "trusted_torchscript_space",
]

LARGEST_SCRIPT = 2**31
"""Bytes of a TorchScript file: 2 GiB."""
PROBE = 8
"""Images whose features are computed again to see whether kept ones still are those of the
network."""


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """Attributes:
    network: uint8 images (b, c, h, w) -> features (b, d), in evaluation mode.
    name: Stands for what the network computes besides its weights; another forward pass needs
        another name.
    published_inception: Whether distances may be called FID and KID.
    """

    name: str
    network: nn.Module
    published_inception: bool = False

    def __post_init__(self) -> None:
        if self.network.training:
            raise ValueError(
                f"the network of the feature space {self.name} must be in evaluation mode: .eval()"
            )

    @property
    def frechet(self) -> str:
        """Name of the Fréchet distance in this space: FID, or FD-NAME."""
        return "FID" if self.published_inception else f"FD-{self.name}"

    @property
    def kernel(self) -> str:
        """Name of the kernel distance in this space: KID, or KD-NAME."""
        return "KID" if self.published_inception else f"KD-{self.name}"

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the name and of all weights."""
        state = {name: value.detach().cpu() for name, value in self.network.state_dict().items()}
        arrays = [part for name, value in state.items() for part in (name, value.numpy())]
        return digest(self.name, *arrays)


def inception_space(path: Path, resize: Resize = "half-pixel") -> FeatureSpace:
    """Feature space of the FID Inception; see `deep.metrics.inception`.

    Named "inception" if the weights are the published ones and images are resized as in the paper;
    otherwise the name says what differs, since values are comparable within one such space alone.

    Args:
        path: File with the weights.
        resize: Rule by which images are brought to the network's size.

    Returns:
        The space.

    Raises:
        InceptionError: As `load_inception`.
        OSError: As `load_inception`.
    """
    network, sha256 = load_inception(path, resize)
    published = sha256.startswith(INCEPTION_HASH)
    name = "inception" if published else f"inception-{sha256[:8]}"
    return FeatureSpace(
        name if resize == "half-pixel" else f"{name}-{resize}-resize",
        network,
        published_inception=published and resize == "half-pixel",
    )


def inception_features(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Features of single pictures by the FID Inception, as `check --features inception:FILE` needs.

    Args:
        path: The weights; see `deep.metrics.inception`.

    Returns:
        A function from a picture, uint8 (height, width, 3), to its features (2048,).

    Raises:
        InceptionError: As `load_inception`.
        OSError: See `InceptionError`.
    """
    space = inception_space(path)

    def features(picture: np.ndarray) -> np.ndarray:
        images = np.ascontiguousarray(picture.transpose(2, 0, 1))[None]
        with torch.inference_mode():
            return extract(space, images, torch.device("cpu"))[0].numpy()

    return features


class _Script(nn.Module):
    """A TorchScript network, called as NVIDIA's Inception is: RGB, and for features where it
    offers them.
    """

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.script = script
        offered = [argument.name for argument in script.forward.schema.arguments]  # type: ignore[attr-defined]
        self.options = {"return_features": True} if "return_features" in offered else {}

    def forward(self, images: Tensor) -> Tensor:
        return self.script(to_rgb(images), **self.options)


def trusted_torchscript_space(path: Path) -> FeatureSpace:
    """Feature space of a TorchScript file, e.g. NVIDIA's inception-2015-12-05.pt.

    Such a file is code, which runs: trust it first.

    Args:
        path: The file.

    Returns:
        The space, named by the file's hash.

    Raises:
        ValueError: If it is no TorchScript.
        OSError: If it cannot be read.
    """
    try:
        content = read_bytes(path, LARGEST_SCRIPT)
    except UntrustedFileError as error:
        raise ValueError(f"{path} {error}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    with warnings.catch_warnings():
        # the format is deprecated; the files are in it
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            script = torch.jit.load(io.BytesIO(content), map_location="cpu")
        except (RuntimeError, ValueError) as error:
            reason = printable(str(error).partition("\n")[0])
            raise ValueError(f"{path} is not a TorchScript file ({reason})") from error
    return FeatureSpace(f"torchscript-{sha256[:8]}", _Script(script).eval())


def label_encoder_space(
    data: str,
    images: np.ndarray,
    labels: np.ndarray,
    cache: Path,
    training: EncoderTraining | None = None,
) -> FeatureSpace:
    """Feature space of a small encoder trained on images and their labels.

    Args:
        data: Name of the data set; the space is named DATA-encoder.
        images: Training images, (n, c, h, h) uint8.
        labels: Their classes, shape (n,).
        cache: Folder in which the encoder is kept.
        training: Settings of its training; None: the defaults.

    Returns:
        The space.

    Raises:
        ValueError: As `train_encoder`.
        FloatingPointError: As `train_encoder`.
        OSError: If the folder cannot be written.
    """
    training = training or EncoderTraining()
    key = digest(json.dumps(asdict(training), sort_keys=True), images, labels)

    def make() -> dict[str, np.ndarray]:
        state = train_encoder(images, labels, training).state_dict()
        return {name: value.numpy() for name, value in state.items()}

    path = cache / "encoders" / f"{data}-{key}.npz"
    with torch.device("meta"):
        encoder = LabelEncoder(
            images.shape[1], images.shape[2], len(np.unique(labels)), training.width
        )

    def load() -> None:
        state = {name: torch.from_numpy(value) for name, value in cached_arrays(path, make).items()}
        if not all(
            value.is_floating_point() and value.isfinite().all() for value in state.values()
        ):
            raise RuntimeError("weights that are not finite")
        encoder.load_state_dict(state, assign=True)

    try:
        load()
    except RuntimeError:  # other names or shapes
        warnings.warn(f"{path} has no weights of this encoder; made again", stacklevel=2)
        path.unlink()
        load()
    return FeatureSpace(f"{data}-encoder", encoder.eval().requires_grad_(False))


@torch.inference_mode()
def extract(
    space: FeatureSpace,
    images: np.ndarray,
    device: torch.device,
    *,
    batch: int = 64,
    on_batch: Callable[[int], object] = lambda images: None,
) -> Tensor:
    """Compute features of images; the network is left on `device`.

    Args:
        space: Feature space.
        images: Images, (n, c, h, w) uint8.
        device: Device to compute on.
        batch: Images at once.
        on_batch: Called with the number of images done since the last call.

    Returns:
        Features, (n, d) float32, on `device`, or on the CPU if that has no float64, which metrics
        need.

    Raises:
        ValueError: If the network does not return (b, d), or a feature is not finite.
    """
    network = space.network.to(device)
    features = []
    for start in range(0, len(images), batch):
        rows = torch.from_numpy(images[start : start + batch]).to(device)
        found = network(rows)
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(rows):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(
                f"the network of {space.name} must return ({len(rows)}, d) features, got {shape}"
            )
        if not found.isfinite().all():
            raise ValueError(
                f"{space.name} gives features that are not finite in images {start} to "
                f"{start + batch}"
            )
        features.append(found.float().to(float64_device(device)))
        on_batch(len(rows))
    return torch.cat(features)


def cached_features(
    space: FeatureSpace,
    images: np.ndarray,
    cache: Path,
    device: torch.device,
    *,
    batch: int = 64,
    on_batch: Callable[[int], object] = lambda images: None,
) -> Tensor:
    """Return the features of images, computed once and kept in a folder.

    The file's name tells the content of the images, the name of the space and its weights. The
    features of the first images are computed again and compared, to 1% of the largest (a GPU rounds
    differently than a CPU), so that a network whose code was changed but not its name is found out:
    a warning, and a new file.

    Args:
        space: Feature space.
        images: Images, (n, c, h, w) uint8.
        cache: Folder in which the features are kept.
        device: Device to compute on.
        batch: Images at once.
        on_batch: Called with the number of images done since the last call.

    Returns:
        Features, (n, d) float32, on `device`, or on the CPU if that has no float64, which metrics
        need.
    """
    path = cache / "features" / f"{space.name}-{digest(space.fingerprint, images)}.npz"

    probe = extract(space, images[:PROBE], device)

    def kept() -> Tensor:
        def make() -> dict[str, np.ndarray]:
            return {
                "features": extract(space, images, device, batch=batch, on_batch=on_batch)
                .cpu()
                .numpy()
            }

        found = cached_arrays(path, make).get("features", np.empty(0))
        return torch.from_numpy(found).to(float64_device(device))

    def are_of_the_images(features: Tensor) -> bool:
        if features.shape != (len(images), probe.shape[1]) or features.dtype != torch.float32:
            return False
        alike = (probe - features[:PROBE]).abs().max() <= 0.01 * probe.abs().max()
        return bool(alike and features.isfinite().all())

    features = kept()
    if not are_of_the_images(features):
        warnings.warn(
            f"{path} has features of another network of the name {space.name}; made again",
            stacklevel=2,
        )
        path.unlink()
        features = kept()
    return features
