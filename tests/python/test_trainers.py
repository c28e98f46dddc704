"""wrap and gradient_stabilizer.optim in the trainers of transformers, accelerate and Lightning, where these are installed.
All of them run on the CPU; what they do with fp16 is shown with a GradScaler that the CPU has."""

from __future__ import annotations

import contextlib
import pathlib
from typing import Any

import pytest
import torch
from support import TORCH2, batch, loss_of, make_model, make_scaler, same_bits, values
from torch import nn

import gradient_stabilizer as gs

pytestmark = pytest.mark.skipif(not TORCH2, reason="the trainers need a later torch")
STEPS = 12


def sgd(model: nn.Module, **settings: Any) -> gs.WrappedOptimizer:
    return gs.wrap(torch.optim.SGD(model.parameters(), lr=0.1), named_parameters=model.named_parameters(), **settings)


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("transformers", reason="transformers is not installed")


class ForTrainer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = make_model()

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        outputs = self.layers(inputs)
        return {"loss": nn.functional.mse_loss(outputs, labels), "logits": outputs}


def hugging_face(
    transformers: Any, folder: pathlib.Path, scaler: Any = None, spoil: int = 0, resume: int = 0, **settings: Any
) -> Any:
    """A Trainer that has trained, with its stabilized optimizer as `stabilized`.

    spoil: the step at which a gradient overflows. resume: the step of the checkpoint to go on from.
    """

    class StabilizedTrainer(transformers.Trainer):
        stabilized: Any = None

        def create_optimizer(self, *arguments: Any) -> Any:
            super().create_optimizer(*arguments)
            if self.stabilized is None:
                self.stabilized = gs.wrap(self.optimizer, named_parameters=self.model.named_parameters())
                self.optimizer = self.stabilized
            return self.optimizer

        def create_accelerator_and_postprocess(self) -> None:
            super().create_accelerator_and_postprocess()
            if scaler is not None:
                self.accelerator.scaler, self.accelerator.native_amp = scaler, True
                self.accelerator.state._mixed_precision = "fp16"

    class Spoil(transformers.TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            if state.global_step + 1 == spoil:
                model.layers[0].bias.grad[0] = torch.inf

    arguments = transformers.TrainingArguments(
        **{
            "output_dir": str(folder),
            "max_steps": STEPS,
            "per_device_train_batch_size": 8,
            "learning_rate": 0.1,
            "optim": "sgd",
            "lr_scheduler_type": "cosine",
            "max_grad_norm": 0.0,
            "report_to": [],
            "save_steps": STEPS // 2,
            "use_cpu": True,
            "disable_tqdm": True,
            **settings,
        }
    )
    inputs, targets = batch(0)
    data = [{"inputs": x, "labels": y} for x, y in zip(inputs, targets)]
    trainer = StabilizedTrainer(model=ForTrainer(), args=arguments, train_dataset=data, callbacks=[Spoil()])
    trainer.train(resume_from_checkpoint=f"{folder}/checkpoint-{resume}" if resume else None)
    return trainer


def counted(optimizer: Any) -> list[float]:
    return optimizer.statistics()["0.stabilize.k"].tolist()


class TestTransformers:
    def test_a_resumed_run_equals_the_uninterrupted_one(self, transformers: Any, tmp_path: pathlib.Path) -> None:
        whole = hugging_face(transformers, tmp_path, optim="adamw_torch")
        resumed = hugging_face(transformers, tmp_path, optim="adamw_torch", resume=STEPS // 2)
        assert same_bits(values(resumed.model), values(whole.model))
        assert counted(resumed.stabilized) == counted(whole.stabilized) == [STEPS] * 4
        # Negative control: it did go on in the middle, and not from the end.
        assert resumed.state.global_step == STEPS and whole.state.global_step == STEPS
        assert resumed.stabilized.report().step == STEPS

    @pytest.mark.parametrize("clip", [0.0, 1e9])
    def test_fp16_gradients_are_unscaled_before_they_are_stabilized(
        self, transformers: Any, tmp_path: pathlib.Path, clip: float
    ) -> None:
        """Whether or not the Trainer unscales them first, to clip them."""
        scaled = hugging_face(transformers, tmp_path, make_scaler(), max_grad_norm=clip)
        plain = hugging_face(transformers, tmp_path, max_grad_norm=clip)
        assert scaled.accelerator.scaler.get_scale() == 2.0**16
        # A power of two changes no digit.
        assert same_bits(values(scaled.model), values(plain.model))
        assert scaled.stabilized.report().raw_global_norm == plain.stabilized.report().raw_global_norm < 100

    def test_the_scaler_sees_an_overflow(self, transformers: Any, tmp_path: pathlib.Path) -> None:
        spoiled = hugging_face(transformers, tmp_path, make_scaler(), spoil=5)
        assert spoiled.accelerator.scaler.get_scale() == 2.0**15
        assert counted(spoiled.stabilized) == [STEPS - 1] * 4, "the step was left out"
        assert spoiled.stabilized.report().step == STEPS - 1

    def test_accumulated_gradients_are_stabilized_once(self, transformers: Any, tmp_path: pathlib.Path) -> None:
        trainer = hugging_face(transformers, tmp_path, gradient_accumulation_steps=2)
        assert counted(trainer.stabilized) == [STEPS] * 4


class TestAccelerate:
    @staticmethod
    def accelerator(scaler: Any = None, **settings: Any) -> Any:
        accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
        accelerator = accelerate.Accelerator(cpu=True, **settings)
        if scaler is not None:
            accelerator.scaler, accelerator.native_amp = scaler, True
            accelerator.state._mixed_precision = "fp16"
        return accelerator

    @pytest.fixture(autouse=True)
    def fresh_state(self) -> Any:
        yield
        with contextlib.suppress(ImportError):
            from accelerate.state import AcceleratorState

            AcceleratorState._reset_state(reset_partial_state=True)

    def train(self, accelerator: Any, model: nn.Module, optimizer: Any, clip: bool) -> Any:
        model, optimizer = accelerator.prepare(model, optimizer)
        for step in range(6):
            with accelerator.accumulate(model):
                accelerator.backward(loss_of(model, step))
                if clip and accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1e9)
                optimizer.step()
                optimizer.zero_grad()
        return optimizer

    @pytest.mark.parametrize("clip", [False, True])
    @pytest.mark.parametrize("fused", [False, True])
    def test_an_optimizer_that_was_wrapped_before_is_right(self, fused: bool, clip: bool) -> None:
        make = (lambda model: gs.optim.SGD(model.named_parameters(), lr=0.1)) if fused else sgd
        model, twin = make_model(), make_model()
        self.train(self.accelerator(make_scaler(), gradient_accumulation_steps=3), model, make(model), clip)
        optimizer = make(twin)
        for step in range(6):
            (loss_of(twin, step) / 3).backward()
            if step % 3 == 2:
                optimizer.step()
                optimizer.zero_grad()
        for a, b in zip(values(model), values(twin)):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)  # a third of 2^16 times a loss rounds otherwise
        assert optimizer.report().step == 2

    def test_a_scaler_that_is_told_to_unscale_the_inner_one_is_refused(self) -> None:
        model, scaler = make_model(), make_scaler()
        optimizer = sgd(model)
        accelerator = self.accelerator(scaler)
        model, prepared = accelerator.prepare(model, optimizer)
        accelerator.backward(loss_of(model, 0))
        accelerator.unscale_gradients(optimizer.optimizer)
        with pytest.raises(RuntimeError, match="unscaled twice"):
            prepared.step()

    def test_one_that_was_prepared_before_is_refused(self) -> None:
        model = make_model()
        prepared = self.accelerator().prepare(torch.optim.SGD(model.parameters(), lr=0.1))
        with pytest.raises(TypeError, match="before it is given to accelerate"):
            gs.wrap(prepared)

    def test_steps_in_backward_and_a_scaler_refuse_each_other(self) -> None:
        model = make_model()
        stepper = gs.optimizer_in_backward(model, gs.optim.SGD, lr=1e-9)
        accelerator = self.accelerator(make_scaler())
        prepared = accelerator.prepare(stepper.optimizer)
        accelerator.backward(loss_of(model, 0))
        with pytest.raises(RuntimeError, match="backward has already stepped"):
            prepared.step()


class TestLightning:
    @pytest.fixture
    def lightning(self) -> Any:
        return pytest.importorskip("lightning", reason="lightning is not installed")

    @staticmethod
    def fit(lightning: Any, make: Any, steps: int, plugin: Any = None, manual: Any = None, path: Any = None, **more: Any) -> Any:
        class Module(lightning.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.layers = make_model()
                self.automatic_optimization = manual is None

            def training_step(self, rows: Any, index: int) -> Any:
                inputs, targets = rows
                loss = nn.functional.mse_loss(self.layers(inputs), targets)
                if manual is not None:
                    manual(self, loss)
                return loss

            def configure_optimizers(self) -> Any:
                return make(self.layers)

        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*batch(0)), batch_size=8)
        trainer = lightning.Trainer(
            max_steps=steps,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            plugins=plugin,
            **more,
        )
        module = Module()
        trainer.fit(module, loader, ckpt_path=path, **({} if path is None else {"weights_only": False}))
        return trainer, module

    def test_a_resumed_run_equals_the_uninterrupted_one(self, lightning: Any, tmp_path: pathlib.Path) -> None:
        _, whole = self.fit(lightning, sgd, STEPS)
        trainer, _ = self.fit(lightning, sgd, STEPS // 2)
        trainer.save_checkpoint(tmp_path / "half.ckpt")
        trainer, resumed = self.fit(lightning, sgd, STEPS, path=tmp_path / "half.ckpt")
        assert same_bits(values(resumed), values(whole))
        assert counted(trainer.optimizers[0]) == [STEPS] * 4

    @pytest.mark.parametrize("fused", [False, True])
    def test_fp16_gradients_are_unscaled_before_they_are_stabilized(self, lightning: Any, fused: bool) -> None:
        from lightning.pytorch.plugins import MixedPrecision

        make = (lambda model: gs.optim.SGD(model.named_parameters(), lr=0.1)) if fused else sgd
        plugin = MixedPrecision("16-mixed", "cpu", make_scaler())
        plugin.forward_context = contextlib.nullcontext  # autocast itself stays off
        trainer, scaled = self.fit(lightning, make, STEPS, plugin, gradient_clip_val=1e9)
        _, plain = self.fit(lightning, make, STEPS)
        assert plugin.scaler.get_scale() == 2.0**16
        assert same_bits(values(scaled), values(plain))
        assert trainer.optimizers[0].report().raw_global_norm < 100

    def test_accumulated_gradients_are_stabilized_once(self, lightning: Any) -> None:
        trainer, _ = self.fit(lightning, sgd, STEPS, accumulate_grad_batches=2)
        assert counted(trainer.optimizers[0]) == [STEPS] * 4

    def test_what_lightning_made_of_an_optimizer_is_refused(self, lightning: Any) -> None:
        seen: list[str] = []

        def manual(module: Any, loss: torch.Tensor) -> None:
            with pytest.raises(TypeError, match="before it is given to lightning"):
                gs.wrap(module.optimizers())
            seen.append(type(module.optimizers()).__name__)

        with contextlib.suppress(Exception):
            self.fit(lightning, lambda model: torch.optim.SGD(model.parameters(), lr=0.1), 1, manual=manual, max_epochs=1)
        assert seen[:1] == ["LightningSGD"]
