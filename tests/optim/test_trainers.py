"""LEHI's kin inside other people's training loops: each must come to the weights of a loop written out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lehi_cli.optim import LEHI, LEHIBRID, Sophia

KINDS = {"lehi": (LEHI, {}), "lehibrid": (LEHIBRID, {"hybrid": "max"}), "sophia": (Sophia, {"curvature_every": 3})}
each = pytest.mark.parametrize(("kind", "options"), KINDS.values(), ids=KINDS)
PARTS, CLIP = 2, 0.5  # micro-batches of a step, bound on the gradient's norm


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


class Classifier(lightning.LightningModule):
    def __init__(self, kind: type, options: dict[str, Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
        self.kind, self.options = kind, options

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = self.kind(self.parameters(), lr=1e-2, **self.options)
        self.criterion = optimizer.criterion(nn.CrossEntropyLoss())
        return optimizer

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        return self.criterion(self.net(batch[0]), batch[1])


@each
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:The 'train_dataloader'")
def test_lightning(kind: type, options: dict[str, Any]) -> None:
    inputs = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    targets = inputs[:, :3].argmax(1)
    module = Classifier(kind, options)
    twin = copy.deepcopy(module.net)
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        accumulate_grad_batches=PARTS,
        gradient_clip_val=CLIP,
        **dict.fromkeys(quiet, False),
    )
    trainer.fit(module, DataLoader(TensorDataset(inputs, targets), batch_size=8))

    optimizer = kind(twin.parameters(), lr=1e-2, **options)
    for _ in range(2):
        for x, y in zip(inputs.split(16), targets.split(16), strict=True):
            optimizer.zero_grad()
            for part in (slice(0, 8), slice(8, 16)):
                optimizer.backward(twin(x[part]), y[part], weight=1 / PARTS)
            nn.utils.clip_grad_norm_(twin.parameters(), CLIP)
            optimizer.step()
    assert optimizer.param_groups[0]["steps"] == 8
    assert same(module.net, twin)


@each
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_transformers(kind: type, options: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = transformers.LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    model = transformers.LlamaForCausalLM(shape)
    twin = copy.deepcopy(model)
    tokens = torch.randint(16, (64, 6), generator=torch.Generator().manual_seed(0))
    optimizer = kind(model.parameters(), lr=1e-2, **options)
    criterion, seen = optimizer.criterion(nn.CrossEntropyLoss()), []

    def loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | None = None) -> Tensor:
        seen.append(labels)
        return criterion(outputs.logits[:, :-1].transpose(1, 2), labels[:, 1:]) / PARTS

    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=4,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=PARTS,
        max_grad_norm=CLIP,
        lr_scheduler_type="constant",
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=[{"input_ids": row, "labels": row} for row in tokens],
        optimizers=(optimizer, None),
        compute_loss_func=loss,
    ).train()

    again = kind(twin.parameters(), lr=1e-2, loss=nn.CrossEntropyLoss(), **options)
    for i in range(0, len(seen), PARTS):
        again.zero_grad()
        for labels in seen[i : i + PARTS]:
            logits = twin(input_ids=labels).logits[:, :-1].transpose(1, 2)
            again.backward(logits, labels[:, 1:], weight=1 / PARTS)
        nn.utils.clip_grad_norm_(twin.parameters(), CLIP)
        again.step()
    assert len(seen) == 4 * PARTS
    assert same(model, twin)
