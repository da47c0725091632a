"""The Markov source against its definition: stationary law, entropies, and samples that obey them."""

import numpy as np
import pytest

from lehi_cli.data.markov import MarkovSource, markov, markov_source

CASES = [{}, {"symbols": 5, "order": 1}, {"symbols": 3, "order": 3, "concentration": 1.0, "seed": 2}]


def log_loss(source, inputs, targets):
    """Mean -log p [N] per window under the true source, read off one symbol at a time."""
    losses = np.zeros(inputs.shape)
    for position in range(inputs.shape[1]):
        context = min(position + 1, source.order)
        seen = tuple(inputs[:, position + 1 - context : position + 1].T)
        losses[:, position] = -np.log(source.conditional(context)[(*seen, targets[:, position])])
    return losses.mean(axis=1)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_stationary_law_is_unchanged_by_a_step(options):
    source = markov_source(**options)
    after = (source.stationary[..., None] * source.transitions).sum(axis=0)
    assert np.abs(after - source.stationary).max() < 1e-12
    assert source.stationary.sum() == pytest.approx(1, abs=1e-12)
    assert (source.stationary > 0).all()
    assert np.abs(source.transitions.sum(axis=-1) - 1).max() < 1e-12


@pytest.mark.parametrize("options", CASES, ids=str)
def test_more_context_never_costs(options):
    source = markov_source(**options)
    entropies = [source.entropy(context) for context in range(source.order + 3)]
    assert (np.diff(entropies) <= 1e-12).all()
    assert entropies[source.order] == entropies[-1]


def test_known_binary_source():
    p, q = 0.1, 0.4  # chances to leave symbol 0 and symbol 1
    source = MarkovSource(np.array([[1 - p, p], [q, 1 - q]]))
    rate = 0.8 * -(p * np.log(p) + (1 - p) * np.log(1 - p)) + 0.2 * -(q * np.log(q) + (1 - q) * np.log(1 - q))
    np.testing.assert_allclose(source.stationary, [0.8, 0.2], atol=1e-15)
    assert source.floor(length=5) == pytest.approx(rate, abs=1e-14)


def test_early_positions_know_less():
    source = markov_source(symbols=3, order=3)
    expected = (source.entropy(1) + source.entropy(2) + 2 * source.entropy(3)) / 4
    assert source.floor(length=4) == pytest.approx(expected, abs=1e-14)
    assert source.floor(length=4) > source.entropy(3)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_the_true_source_reaches_the_floor(options):
    dataset, source = markov(**options), markov_source(**options)
    for name, split in dataset.splits.items():
        losses = log_loss(source, split.inputs.numpy(), split.targets.numpy())
        error = losses.std(ddof=1) / np.sqrt(len(losses))  # windows are independent
        assert abs(losses.mean() - dataset.floor[name]) < 4 * error


def test_windows_start_from_the_stationary_law():
    source = markov_source(symbols=3, order=2)
    sequences = source.sample(20_000, 8, np.random.RandomState(0))
    for start in (0, 6):
        counts = np.zeros((3, 3))
        np.add.at(counts, (sequences[:, start], sequences[:, start + 1]), 1)
        error = np.sqrt(source.stationary * (1 - source.stationary) / len(sequences))
        assert (np.abs(counts / len(sequences) - source.stationary) < 4 * error).all()


def test_targets_are_the_next_symbols():
    for split in markov(rows=64).splits.values():
        assert (split.inputs[:, 1:] == split.targets[:, :-1]).all()


def test_options_change_the_checksum():
    changes = [{}, {"symbols": 7}, {"order": 1}, {"length": 31}, {"rows": 4088}, {"concentration": 0.4}, {"seed": 1}]
    assert len({markov(**change).checksum for change in changes}) == len(changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symbols": 1}, "symbols=1 must be at least 2"),
        ({"order": 0}, "order=0 must be 1 or more"),
        ({"order": 5}, "order=5 must be 1 or more, symbols"),
        ({"concentration": 0.0}, "concentration=0.0 must be at least 0.1"),
        ({"length": 1}, "length=1 must be at least 2"),
        ({"rows": 7}, "rows=7 must be at least 8"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        markov(**options)
