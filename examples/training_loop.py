"""LEHI in a training loop of your own, with a schedule, gradient accumulation and a checkpoint.

python examples/training_loop.py
"""

import io

import torch
from sklearn.datasets import load_digits
from torch import nn

from lehi_cli.optim import LEHI

EPOCHS, BATCH, MICRO = 20, 64, 32


def data():
    """Handwritten digits as (inputs [N, 64], classes [N]), for training and for testing."""
    digits = load_digits()
    inputs = torch.tensor(digits.data, dtype=torch.float32) / 16
    classes = torch.tensor(digits.target)
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    train, test = order[:1400], order[1400:]
    return (inputs[train], classes[train]), (inputs[test], classes[test])


def main():
    """Train, and return the share of test images that are recognised."""
    torch.manual_seed(0)
    (inputs, classes), test = data()
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = LEHI(model.parameters(), lr=3e-3, loss=nn.CrossEntropyLoss(label_smoothing=0.05))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)

    for _ in range(EPOCHS):
        order = torch.randperm(len(inputs))
        for rows in order.split(BATCH):
            optimizer.zero_grad()
            for part in rows.split(MICRO):  # micro-batches: each has its share of the mini-batch as weight
                optimizer.backward(model(inputs[part]), classes[part], weight=len(part) / len(rows))
            optimizer.step()
        schedule.step()

    # The state is that of any optimizer of torch.optim, so it is saved like any other.
    saved = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, saved)

    with torch.no_grad():
        share = (model(test[0]).argmax(1) == test[1]).double().mean().item()
    diagonal = optimizer.curvature_diagonal()
    largest = max(float(estimate.max()) for estimate in diagonal.values())
    print(f"{share:.1%} of the test images recognised; largest curvature {largest:.2g}")
    return share


if __name__ == "__main__":
    main()
