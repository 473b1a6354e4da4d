"""Networks, sampler and trainer on a GPU, against the official outputs and against the CPU."""

import copy

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from deep.data import load_images
from deep.metrics.frechet import frechet_distance, moments
from deep.metrics.precision_recall import neighbourhoods, precision_recall
from deep.models.ddpm import DDPM
from deep.models.edm import EDM
from deep.models.ot_cfm import OTCFM
from deep.networks import unet_cfm, unet_ddpm, unet_edm
from deep.training.sampling import draw_images
from deep.training.trainer import TrainConfig, Trainer
from tests.support.edm_networks import fixture_network
from tests.support.official import outputs, relative_error

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
MODELS = {
    "edm": (EDM(augment=0.0), unet_edm.DIGITS),
    "ddpm": (DDPM(flip=False, ddim_steps=10), unet_ddpm.DIGITS),
    "otcfm": (OTCFM(flip=False, integrator="euler", euler_steps=10), unet_cfm.DIGITS),
}
SHAPE = (1, 8, 8)


@pytest.fixture
def gpu():
    """Accelerate keeps one device a process; other tests' is the CPU."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield Accelerator()
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def exact(monkeypatch):
    """No TF32, which convolutions use otherwise."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def built(name, seed=0):
    """A network of the digits without dropout, its last layers not zero."""
    generator = torch.Generator().manual_seed(seed)
    network = MODELS[name][1].build(generator)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return network.eval()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_official_outputs(layout, exact):
    edm, expected = fixture_network().to("cuda", memory_format=layout), outputs("edm_tiny_io.npz")
    x, sigma, labels = (expected[key].cuda() for key in ("x", "sigma", "augment_labels"))
    with torch.no_grad():
        assert relative_error(edm(x, sigma, labels).cpu(), expected["denoised_augmented"]) < 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_networks_give_what_they_give_on_a_cpu(name, exact):
    generator = torch.Generator().manual_seed(1)
    network, x, t = (
        built(name),
        torch.randn(4, *SHAPE, generator=generator),
        torch.tensor([0.05, 0.2, 0.5, 0.9]),
    )
    inputs = {"edm": (x, t), "ddpm": (x, (1000 * t).long()), "otcfm": (t, x)}[name]
    with torch.no_grad():
        on_cpu = network(*inputs)
        on_gpu = copy.deepcopy(network).cuda()(*(value.cuda() for value in inputs)).cpu()
    assert relative_error(on_gpu, on_cpu) < 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_an_image_is_the_same_on_either_device(name, gpu, exact):
    """The noise is drawn on the host.

    A network that is not trained, so pixels near an edge are as common as any.
    """
    model, network = MODELS[name][0], built(name)
    drawn = draw_images(model, network.cuda(), SHAPE, range(64), 7, accelerator=gpu)
    AcceleratorState._reset_state(reset_partial_state=True)
    expected = draw_images(
        model, network.cpu(), SHAPE, range(64), 7, accelerator=Accelerator(cpu=True)
    )
    gap = np.abs(drawn.astype(int) - expected)
    assert gap.max() <= 1
    assert (gap > 0).mean() < 0.01


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "settings", [{}, {"precision": "bf16"}, {"precision": "fp16"}, {"compile": True}]
)
def test_training_lowers_the_loss_in_every_precision(name, settings, gpu):
    """Draws are the same in all of them, so losses are close to those in float32, from the first
    step on. In fp16 the first steps only find out by how much the loss can be scaled.
    """
    images = load_images("digits").images
    losses = {}
    for options in ({}, settings):
        training = TrainConfig(batch=64, learning_rate=1e-3, **options)
        trainer = Trainer(MODELS[name][0], built(name), training, gpu)
        reports = list(trainer.fit(images, 64 * 40, np.random.default_rng(3)))
        losses[str(options)] = np.concatenate([report.losses for report in reports])
    exact, found = losses["{}"], losses[str(settings)]
    assert exact[-10:].mean() < exact[:10].mean()
    np.testing.assert_allclose(found[0], exact[0], rtol=0.01)
    assert found[-10:].mean() < found[:10].mean()
    if settings.get("precision") != "fp16":
        np.testing.assert_allclose(found[-10:].mean(), exact[-10:].mean(), rtol=0.1)


def test_a_fit_goes_on_where_it_was(gpu):
    images = load_images("digits").images

    def trainer():
        return Trainer(
            MODELS["edm"][0], built("edm"), TrainConfig(batch=32, learning_rate=1e-3), gpu
        )

    whole, first = trainer(), trainer()
    *_, end = whole.fit(images, 32 * 20, np.random.default_rng(3), report_steps=10)
    progress = next(first.fit(images, 32 * 20, np.random.default_rng(3), report_steps=10))
    second = trainer()
    second.load_state_dict(first.state_dict())
    *_, last = second.fit(images, 32 * 20, np.random.default_rng(3), report_steps=10)
    assert (progress.step, last.step, end.step) == (10, 20, 20)
    np.testing.assert_allclose(last.losses, end.losses, rtol=1e-2)


def test_metrics_are_those_of_a_cpu(rng):
    one, two = (
        torch.from_numpy(rng.standard_normal((3000, 64), dtype=np.float32)) + s for s in (0.0, 0.1)
    )
    on_cpu = frechet_distance(moments(one), moments(two))
    assert frechet_distance(moments(one.cuda()), moments(two.cuda())) == pytest.approx(
        on_cpu, rel=1e-4
    )
    pairs = [
        [neighbourhoods(x, 3) for x in pair] for pair in ((one, two), (one.cuda(), two.cuda()))
    ]
    expected, found = (precision_recall(*pair) for pair in pairs)
    assert found.precision == pytest.approx(expected.precision, abs=2e-3)
    assert found.recall == pytest.approx(expected.recall, abs=2e-3)
