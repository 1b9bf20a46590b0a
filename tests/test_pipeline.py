"""A trained model as one object: what it draws, in how much memory, what guides see of a batch, saving and loading."""

from __future__ import annotations

import gc
import json
import math
import weakref
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest
import torch
import toy_training as toy
from torch import nn

import diffx
from diffx.condition import Class, Conditioning, Spatial
from diffx.config import DataConfig, RunConfig, SampleConfig, option, resolve
from diffx.data.spec import Spec
from diffx.errors import DataError, PluginError, UsageError
from diffx.guide import autoguidance, keep
from diffx.io import checkpoint
from diffx.nets.model import Model
from diffx.noise import Noise
from diffx.pipeline import Batch, Pipeline, describe
from diffx.pipeline.weights import recorded
from diffx.predict import Denoiser
from diffx.process import Gaussian
from diffx.schedule import EDM
from diffx.train import Monitor, fit

ASKED = SampleConfig("dpmpp_2m", 20)


class Exact(nn.Module):
    """The denoiser of data N(m, s^2) with m what the condition says: a label's mean, or a map."""

    autocast = None

    def __init__(self, s: float = 0.5):
        super().__init__()
        self.s = s

    def forward(self, x, t, condition=None):
        sigma2 = float(t) ** 2
        mean = 0.0
        if condition is not None and condition.vector is not None:
            mean = condition.vector[:, :1].view(-1, *(1,) * (x.ndim - 1))
        if condition is not None and condition.spatial is not None:
            mean = condition.spatial[:, :1]
        return (self.s**2 * x + sigma2 * mean) / (self.s**2 + sigma2)


def labelled() -> Conditioning:
    """Class "low" is -2, "high" is 3, none is 0.5."""
    conditioning = Conditioning({"label": Class(["low", "high"], dim=1)})
    with torch.no_grad():
        conditioning.fields["label"].table.weight.copy_(torch.tensor([[-2.0], [3.0]]))
        conditioning.fields["label"].missing.fill_(0.5)
    return conditioning


def exact(conditioning: Conditioning | None = None, s: float = 0.5, shape=(1,)) -> Pipeline:
    return Pipeline(Model(Exact(s), conditioning), Gaussian(EDM(), s), shape, device="cpu", precision="fp32")


def drawn(pipeline: Pipeline, *args, **more) -> torch.Tensor:
    return torch.stack(list(pipeline.draw(*args, **more)))


# --------------------------------------------------------------------------------------------------------- drawing


def test_each_sample_has_the_distribution_that_was_asked_for() -> None:
    pipeline = exact(labelled())
    for record, mean in (({"label": "low"}, -2.0), ({"label": "high"}, 3.0), ({}, 0.5)):
        x = drawn(pipeline, record, range(2000), ASKED, batch=500)
        assert float(x.mean()) == pytest.approx(mean, abs=0.05) and float(x.std()) == pytest.approx(0.5, rel=0.06)
    guided = drawn(pipeline, {"label": "high"}, range(2000), ASKED, batch=500, guidance=2.0)
    assert float(guided.mean()) == pytest.approx(0.5 + 2 * 2.5, abs=0.05)  # null + w (conditional - null)


def test_a_sample_depends_on_its_own_record_and_seed_alone() -> None:
    pipeline = exact(labelled(), shape=(2, 3))
    records = [{"label": ("low", "high")[k % 2]} for k in range(7)]
    one = drawn(pipeline, records, range(7), ASKED)
    for batch in (2, 3, 7, 100):
        torch.testing.assert_close(drawn(pipeline, records, range(7), ASKED, batch=batch), one)
    torch.testing.assert_close(drawn(pipeline, records[4], [4], ASKED)[0], one[4])
    torch.testing.assert_close(drawn(pipeline, iter(records), iter(range(7)), ASKED, batch=3), one)


def test_nothing_is_drawn_before_it_is_asked_for_and_nothing_is_kept() -> None:
    """Ten or a hundred samples of 1 MB hold as much memory while they are drawn."""
    pipeline = exact(shape=(1, 250_000))

    def held() -> int:
        gc.collect()
        tensors = [one for one in gc.get_objects() if isinstance(one, torch.Tensor)]
        return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())

    before, most = held(), {}
    for n in (4, 24):
        stream = pipeline.draw({}, range(n), SampleConfig("euler", 1), batch=2)
        assert held() - before < 1e5  # not one is made yet
        most[n] = 0
        for x in stream:
            most[n] = max(most[n], held() - before)
            del x
    assert 0 < most[24] <= most[4] <= 2 * 2 * 4 * 250_000
    refs = []
    for _, state in pipeline.batches({}, range(12), SampleConfig("euler", 1), batch=3):
        assert not any(ref() is not None for ref in refs)
        refs.append(weakref.ref(state))
        del state
    endless = pipeline.draw({}, count(), SampleConfig("euler", 1))
    assert next(endless).shape == (1, 250_000)


def test_what_cannot_be_asked_is_refused_before_anything_is_drawn() -> None:
    pipeline = exact(labelled())
    for error, words in (
        ("unknown sampler 'eulr'", {"sampler": "eulr"}),
        ("stepz: no option of sampling; did you mean 'steps'", {"stepz": 3}),
    ):
        with pytest.raises(UsageError, match=error):
            pipeline.draw({}, [0], **words)
    with pytest.raises(UsageError, match="2 records and 3 seeds"):
        pipeline.draw([{}, {}], [0, 1, 2])
    with pytest.raises(UsageError, match="label: 'middle' is none of low, high"):
        pipeline.check([{}, {"label": "middle"}])
    with pytest.raises(UsageError, match="unknown condition size; known: label"):
        list(pipeline.draw({"size": 3}, [0]))


def test_noise_conditioning_augmentation_is_applied_with_the_noise_of_the_seed() -> None:
    """A map asked for at level 0.6 is seen as sqrt(1 - 0.36) map + 0.6 eps, eps of the sample's own seed."""
    conditioning = Conditioning({"coarse": Spatial(1, (400,), augment=0.8, level=0.6)})
    pipeline = exact(conditioning, s=1e-3, shape=(1, 400))
    coarse = Noise([9])["map"].normal(1, 400)[0]
    x = drawn(pipeline, {"coarse": coarse}, [3, 4], ASKED, batch=2)
    eps = Noise([3, 4])["augment"]["coarse"]["eps"].normal(1, 400)
    torch.testing.assert_close(x, 0.8 * coarse + 0.6 * eps, atol=0.02, rtol=0)
    conditioning.fields["coarse"].level = 0.0
    torch.testing.assert_close(drawn(pipeline, {"coarse": coarse}, [3], ASKED)[0], coarse, atol=0.02, rtol=0)


# ---------------------------------------------------------------------------------------------------------- guides


def test_guides_see_their_batch() -> None:
    """Seeds, records, the number of the first sample and the condition, of each batch its own."""
    pipeline, seen = exact(labelled()), []

    def guide(predict, batch: Batch):
        seen.append((batch.first, batch.seeds, [record["label"] for record in batch.records], len(batch)))
        torch.testing.assert_close(batch.condition.vector, pipeline.condition(batch.records, batch.seeds).vector)
        own = batch.noise["own"].normal(1)
        return lambda x, t, condition=None: own  # each ends where its seed says

    records = [{"label": "low"}] * 3 + [{"label": "high"}] * 2
    x = drawn(pipeline, records, [5, 6, 7, 8, 9], ASKED, guide, batch=2)
    assert seen == [(0, (5, 6), ["low"] * 2, 2), (2, (7, 8), ["low", "high"], 2), (4, (9,), ["high"], 1)]
    assert torch.equal(x, Noise([5, 6, 7, 8, 9])["own"].normal(1))


def test_autoguidance_by_another_pipeline_with_its_own_condition() -> None:
    """m_weak + w (m - m_weak): with equal widths the mean is that of the weak one + w times the way on from it."""
    good, weak = exact(labelled()), exact(labelled())
    with torch.no_grad():
        weak.model.conditioning.fields["label"].table.weight.mul_(0.5)

    def guide(predict, batch: Batch):
        told = weak.condition(batch.records, batch.seeds)
        return autoguidance(predict, lambda x, t, condition=None: weak.model.denoiser(x, t, told), 2.0)

    x = drawn(good, {"label": "high"}, range(1000), ASKED, guide, batch=250)
    assert float(x.mean()) == pytest.approx(1.5 + 2 * 1.5, abs=0.06)


def test_known_parts_starts_callbacks_and_sizes() -> None:
    pipeline = exact(shape=(1, 4))
    mask, known = torch.tensor([[True, False, False, True]]), torch.tensor([[7.0, 0, 0, -7.0]])
    x = drawn(pipeline, {}, range(3), ASKED, lambda predict, batch: keep(predict, mask, known), batch=2)
    assert torch.equal(x[:, 0, [0, 3]], torch.tensor([[7.0, -7.0]] * 3)) and x[:, 0, 1].std() > 0.1
    assert drawn(pipeline, {}, [0], ASKED, shape=(1, 9)).shape == (1, 1, 9)
    told: list[tuple[int, int, tuple[int, ...]]] = []

    def tell(batch: Batch, row: int, state, prediction) -> None:
        told.append((batch.first, row, tuple(prediction.shape)))

    list(pipeline.draw({}, range(3), SampleConfig("euler", 2), batch=2, callback=tell))
    assert told == [(0, 0, (2, 1, 4)), (0, 1, (2, 1, 4)), (2, 0, (1, 1, 4)), (2, 1, (1, 1, 4))]
    # Euler on the probability flow of N(0, s^2) is linear in its start: twice the start is twice the sample
    fine = replace(ASKED, steps=100)
    starts = [drawn(pipeline, {}, [0], fine, start=lambda batch, k=k: torch.full((1, 1, 4), 80.0 * k)) for k in (1, 2)]
    torch.testing.assert_close(starts[1], 2 * starts[0])
    assert float(starts[0].mean()) == pytest.approx(0.5, rel=0.02)  # sigma 80 is one s from 0, so is what comes out


# -------------------------------------------------------------------------------------------------- saving, loading


def test_a_model_of_ones_own_is_saved_and_taken_up(tmp_path) -> None:
    pipeline = fit(*toy.make(), toy.Points(), steps=30, batch=16, lr=1e-2, seed=1, device="cpu", monitor=Monitor(),
                   extra={"codec": torch.arange(3.0)}, meta={"where": Path("here")})  # fmt: skip
    pipeline.save(tmp_path / "own.safetensors", {"note": "mine"})
    again = Pipeline(toy.make()[0], pipeline.process, (1,), device="cpu")
    again.load_state(tmp_path / "own.safetensors")
    assert again.meta["note"] == "mine" and again.meta["where"] == "here" and again.meta["step"] == 30
    assert torch.equal(again.extra["codec"], torch.arange(3.0))
    for name, value in pipeline.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value.half().float()), name
    one, two = (drawn(p, {"label": "low"}, range(4), ASKED) for p in (pipeline, again))
    torch.testing.assert_close(one, two, atol=2e-2, rtol=0)
    with pytest.raises(DataError, match=r"own\.safetensors: no plugin rebuilds its model"):
        Pipeline.load(tmp_path / "own.safetensors")
    with pytest.raises(DataError, match="does not fit this network"):
        Pipeline(toy.make(width=16)[0], pipeline.process, (1,)).load_state(tmp_path / "own.safetensors")


def test_a_file_of_another_plugin_is_refused(tmp_path) -> None:
    checkpoint.save(tmp_path / "w.safetensors", {}, {"plugin": "other"})
    with pytest.raises(DataError, match=r"w\.safetensors holds weights of 'other', not of 'mine'"):
        Pipeline.load(tmp_path / "w.safetensors", plugin="mine")
    with pytest.raises(PluginError, match="unknown plugin 'other'"):
        Pipeline.load(tmp_path / "w.safetensors")


@dataclass
class Shaped(DataConfig):
    shapes: str | None = option(None, help="a folder")


@dataclass
class ShapedConfig(RunConfig):
    data: Shaped = field(default_factory=Shaped)


def test_a_header_says_nothing_of_the_machine(tmp_path) -> None:
    places = [f"data.root={tmp_path}", f"data.shapes={tmp_path}", f"out={tmp_path}/run"]
    meta = describe(resolve(ShapedConfig, overrides=["plugin=mine", "net.channels=[8,16]", *places]), Spec((1, 8)))
    assert str(tmp_path) not in json.dumps(meta)
    named = describe(resolve(ShapedConfig, overrides=["plugin=mine", "data.shapes=ellipsoids"]), Spec((1, 8)))
    assert named["config"]["data.shapes"] == "ellipsoids"


def test_a_header_that_does_not_fit_is_a_data_error() -> None:
    cfg = resolve(RunConfig, overrides=["plugin=mine", "net.channels=[8,16]"])
    meta = describe(cfg, Spec((1, 8)))
    assert recorded(RunConfig, meta, "w").net.channels == [8, 16]
    gone = {**meta, "config": {**meta["config"], "net.gone": 3}}
    assert recorded(RunConfig, gone, "w") == recorded(RunConfig, meta, "w")
    for changed, message in (
        ({"config": {**meta["config"], "net.blocks": 0}}, r"^w: its header does not fit .* net\.blocks=0: expected"),
        ({"config": {**meta["config"], "train.lr": "fast"}}, r"train\.lr=fast: expected a number"),
    ):
        with pytest.raises(DataError, match=message):
            recorded(RunConfig, {**meta, **changed}, "w")
    for key in ("plugin", "config", "spec"):
        with pytest.raises(DataError, match=rf"w: its header does not say what rebuilds the model \({key} missing\)"):
            recorded(RunConfig, {k: v for k, v in meta.items() if k != key}, "w")


# --------------------------------------------------------------------------------------------- training, by hand


class Plain(nn.Linear):
    def __init__(self):
        super().__init__(1, 1)

    def forward(self, x, level, condition=None):
        return super().forward(x)


def test_fit_without_folder_monitor_or_meta(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, process = toy.make()
    pipeline = fit(model, process, toy.Points(), steps=40, batch=16, log_every=5, device="cpu")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("step 5 of 40: loss ") and said[-1].startswith("step 40 of 40: loss ") and len(said) < 5
    assert not list(tmp_path.iterdir()) and pipeline.model is model and not model.training
    assert pipeline.path is None and pipeline.spec == Spec((1,)) and math.isfinite(float(next(pipeline.draw({}, [0]))))
    alone = fit(Denoiser(Plain(), "edm", process.schedule), process, toy.Points(), steps=2, device="cpu")
    assert len(alone.model.conditioning) == 0 and next(alone.draw({}, [1])).shape == (1,)
    for words, error in (({"stepz": 3}, "did you mean 'steps'"), ({"resume": True}, "needs a folder"),
                         ({"ema_snapshots": 5}, "needs a folder")):  # fmt: skip
        with pytest.raises(UsageError, match=error):
            fit(model, process, toy.Points(), **words)


def test_fit_gives_the_model_the_weights_that_it_writes(tmp_path) -> None:
    """With a folder or without: the same weights to the bit, which are those in the file."""
    options = {"steps": 12, "batch": 8, "lr": 3e-3, "precision": "fp32", "device": "cpu", "monitor": Monitor()}
    one, two = fit(*toy.make(), toy.Points(), folder=tmp_path, **options), fit(*toy.make(), toy.Points(), **options)
    written = checkpoint.under(checkpoint.load(tmp_path / "weights.safetensors")[0], "model")
    for name, value in one.model.state_dict().items():
        assert torch.equal(two.model.state_dict()[name], value) and torch.equal(written[name], value.half())
    assert one.path == tmp_path / "weights.safetensors"


class Tied(nn.Module):
    """Two layers with one weight between them, and a buffer that is a view of another."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2 + 8, 32), nn.Linear(32, 32)
        self.third, self.last = nn.Linear(32, 32), nn.Linear(32, 1)
        self.third.weight = self.second.weight
        self.register_buffer("scale", torch.ones(4))
        self.register_buffer("same", self.scale[:2])

    def forward(self, x, level, condition=None):
        h = torch.tanh(self.first(torch.cat([x, level[:, None], condition.vector], 1)))
        return self.last(torch.tanh(self.third(torch.tanh(self.second(h)))))


def tied() -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Model(Denoiser(Tied(), "edm", EDM(), 1.3), Conditioning({"label": Class(list(toy.MEANS), dim=8)}))


def test_tied_weights_are_trained_saved_resumed_and_averaged_as_one(tmp_path) -> None:
    options = {"batch": 8, "lr": 1e-2, "precision": "fp32", "device": "cpu", "monitor": Monitor(), "ema_std": 0.2}
    process = toy.make()[1]
    whole = fit(tied(), process, toy.Points(), steps=12, folder=tmp_path / "whole", ema_snapshots=6, **options)
    written = checkpoint.load(tmp_path / "whole/weights.safetensors")[0]
    names = [f"denoiser.net.{layer}.weight" for layer in ("second", "third")]
    assert torch.equal(*(written[f"model.{name}"] for name in names))
    last = checkpoint.load(tmp_path / "whole/last.safetensors")[0]
    assert torch.equal(*(last[f"ema.{name}"] for name in names)) and torch.equal(*(last[f"model.{n}"] for n in names))
    assert not torch.equal(last[f"ema.{names[1]}"], last[f"model.{names[1]}"])
    assert torch.equal(written[f"model.{names[1]}"], last[f"ema.{names[1]}"].half())  # the average, not the last step
    snapshot = checkpoint.load(tmp_path / "whole/snapshots/000000012.safetensors")[0]
    assert torch.equal(*(snapshot[f"profile0.{name}"] for name in names))

    class Stop(Monitor):
        def record(self, step, **values):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tied(), process, toy.Points(), steps=12, folder=tmp_path / "cut", ema_snapshots=6, log_every=7,
            checkpoint_every=3, **{**options, "monitor": Stop()})  # fmt: skip
    fit(tied(), process, toy.Points(), steps=12, folder=tmp_path / "cut", ema_snapshots=6, resume=True, **options)
    again = checkpoint.load(tmp_path / "cut/last.safetensors")[0]
    assert again.keys() == last.keys() and all(torch.equal(again[name], last[name]) for name in last)
    assert whole.model.denoiser.net.second.weight is whole.model.denoiser.net.third.weight


def test_what_cannot_be_saved_is_said_before_the_first_step(tmp_path) -> None:
    class Counted(toy.Points):
        read = 0

        def __getitem__(self, index):
            Counted.read += 1
            return super().__getitem__(index)

    for wrong, error in (
        ({"meta": {"codec": object()}}, "the fact 'codec' of the weights cannot be saved"),
        ({"extra": {"names": ["a"]}}, "'extra.names' of the weights cannot be saved"),
    ):
        with pytest.raises(PluginError, match=error):
            fit(*toy.make(), Counted(), steps=3, folder=tmp_path, device="cpu", monitor=Monitor(), **wrong)
    assert Counted.read == 0 and not list(tmp_path.iterdir())


def test_every_step_is_told_and_tensors_stay_where_they_are(tmp_path) -> None:
    class Told(Monitor):
        def __init__(self):
            self.steps = []

        def step(self, step, **values):
            self.steps.append((step, {name: type(value) for name, value in values.items()}, values))

        def record(self, step, **values):
            self.steps.append((step, {name: type(value) for name, value in values.items()}, values))

    monitor = Told()
    fit(*toy.make(), toy.Points(), steps=7, batch=8, log_every=3, device="cpu", monitor=monitor)
    assert [step for step, _, _ in monitor.steps] == list(range(1, 8))
    for step, kinds, values in monitor.steps:
        kind = float if step in (3, 6, 7) else torch.Tensor
        assert kinds == {"loss": kind, "grad_norm": kind, "lr": float}, step
        assert kind is float or (values["loss"].ndim == 0 and not values["loss"].requires_grad)
    losses = [float(values["loss"]) for _, _, values in monitor.steps]
    every = Told()
    fit(*toy.make(), toy.Points(), steps=7, batch=8, log_every=1, device="cpu", monitor=every)
    single = [values["loss"] for _, _, values in every.steps]
    assert [losses[k] for k in (0, 1, 3, 4)] == pytest.approx([single[k] for k in (0, 1, 3, 4)])
    assert losses[2] == pytest.approx(sum(single[:3]) / 3) and losses[6] == pytest.approx(single[6])


def test_shipped_weights_are_loaded_by_their_id_alone() -> None:
    """The plugin and its options are those that the file names; a face draws the same."""
    pytest.importorskip("monai")
    from diffx_mri import BrainSynth

    pipeline = diffx.Pipeline.load("mri-synth-ixi", "cpu")
    assert type(pipeline.config).__name__ == "SynthConfig" and pipeline.licence and pipeline.meta["step"] > 0
    assert type(pipeline.config.sample).__name__ == "BrainSampling"
    face = BrainSynth.load(device="cpu")
    asked = {"age": 70, "sex": "F"}
    one, two = (next(p.draw(asked, [1], steps=2)) for p in (pipeline, face.pipeline))
    assert one.shape == pipeline.spec.shape == face.codec.shape and torch.equal(one, two)
    with pytest.raises(UsageError, match="age: 300 is outside 18 to 90"):
        next(pipeline.draw({"age": 300}, [1]))
    said: list[str] = []
    for _ in range(2):
        pipeline.announce(said.append, "mri-synth-ixi")
    assert len(said) <= 1 and all(pipeline.licence in line for line in said)
