"""Tables: the protein set where it is at hand, CSV files good and bad, and their fakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lehi_cli.data import catalog
from lehi_cli.data.dataset import Dataset, Table
from lehi_cli.data.loading import load_dataset
from lehi_cli.data.tables import csv, hold_out, protein, standardise
from lehi_cli.errors import DataError, UsageError
from lehi_cli.registry import tasks

DATA = Path(__file__).parents[2].parent / "shared" / "data"
here = pytest.mark.skipif(not (DATA / "protein-tertiary-structure").is_dir(), reason="the protein set is not at hand")


@here
@pytest.mark.parametrize("split", range(5))
def test_protein_rows_are_the_published_ones(split: int) -> None:
    spec = tasks.find("protein").spec([f"data.split={split}"])
    dataset = load_dataset(spec, DATA)  # which declares its checksum, one for all splits
    assert tuple(map(len, dataset.splits.values())) == (37_041, 4_116, 4_573)
    train = dataset.splits["train"]
    for columns in (train.inputs.double(), train.targets.double()):
        assert columns.mean(0).abs().max() < 1e-6
        assert (columns.std(0, correction=0) - 1).abs().max() < 1e-6
    table = np.loadtxt(DATA / "protein-tertiary-structure" / "data.txt")
    test = np.loadtxt(DATA / "protein-tertiary-structure" / f"index_test_{split}.txt").astype(int)
    targets = dataset.splits["test"].targets[:, 0].double()
    assert np.corrcoef(targets, table[test, 9])[0, 1] > 1 - 1e-9
    rows = [row.numpy().tobytes() for part in dataset.splits.values() for row in part.inputs]
    assert len(set(rows)) == len(np.unique(table[:, :9], axis=0))


def test_protein_files_are_checked(tmp_path: Path) -> None:
    place = tmp_path / "protein-tertiary-structure"
    with pytest.raises(DataError, match=r"lacks data\.txt, .*index_train_0\.txt") as refusal:
        protein(tmp_path)
    assert str(place) in refusal.value.message
    assert "lehi data fetch protein" in refusal.value.hint
    place.mkdir()
    for file in catalog.find("protein").files:
        (tmp_path / file.path).write_text("1 2 3\n")
    with pytest.raises(DataError, match=r"data\.txt has md5 \w{32}, expected 03318b0daa2286057cb5a10b06d31be1"):
        protein(tmp_path)


@pytest.mark.parametrize("split", [5, -1, "0"])
def test_there_are_five_protein_splits(split: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be one of 0, 1, 2, 3, 4"):
        protein(tmp_path, split)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["protein", "csv"])
def test_fakes_have_the_shape_of_the_real(name: str, tmp_path: Path) -> None:
    dataset = load_dataset(tasks.find(name).spec(["data.fake=true"]), tmp_path)
    for split in dataset.splits.values():
        assert split.inputs.shape[1:] == ((9,) if name == "protein" else (8,))
        assert (split.targets.shape[1:], split.targets.dtype) == ((1,), torch.float32)


def test_fake_classes(tmp_path: Path) -> None:
    dataset = csv.fake(kind="classification")  # type: ignore[attr-defined]
    assert (dataset.outputs, dataset.splits["train"].targets.dtype) == (3, torch.int64)


def write(folder: Path, rows: list[str]) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def numbers(count: int = 40) -> list[str]:
    """Four features, one of them constant and one true or false, and a target with fractions."""
    random = np.random.RandomState(0)
    values = random.standard_normal((count, 3))
    return ["a,b,flag,one,target", *(f"{a},{b},{str(a > 0).lower()},1,{y}" for a, b, y in values)]


def classes(names: tuple[str, ...], count: int = 40) -> list[str]:
    return ["a,target", *(f"{row},{names[row % len(names)]}" for row in range(count))]


def test_a_table_of_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, numbers())
    dataset = csv(tmp_path)
    assert dataset.outputs == 1
    assert tuple(map(len, dataset.splits.values())) == (28, 6, 6)
    train = dataset.splits["train"]
    assert train.inputs.mean(0).abs().max() < 1e-6
    torch.testing.assert_close(train.inputs.std(0, correction=0), torch.tensor([1.0, 1.0, 1.0, 0.0]))
    torch.testing.assert_close(train.targets.std(0, correction=0), torch.ones(1))
    assert csv(tmp_path, str(path)).checksum == dataset.checksum
    assert csv(tmp_path, drop="one").splits["train"].inputs.shape == (28, 3)
    assert csv(tmp_path, drop=["one", "a"]).splits["train"].inputs.shape == (28, 2)
    assert csv(tmp_path, target="b").checksum != dataset.checksum
    rows = [row.numpy().tobytes() for split in dataset.splits.values() for row in split.inputs]
    assert len(set(rows)) == 40


@pytest.mark.parametrize(
    ("rows", "options", "outputs", "target_shape"),
    [
        (classes(("0", "1")), {}, 2, ()),
        (classes(("yes", "no")), {}, 2, ()),
        (classes(("true", "false")), {}, 2, ()),
        (classes(("9", "3", "5")), {}, 3, ()),
        (classes(("9", "3", "5")), {"kind": "regression"}, 1, (1,)),
        (classes(tuple(map(str, range(21))), 210), {}, 1, (1,)),
        (classes(tuple(map(str, range(21))), 210), {"kind": "classification"}, 21, ()),
        (classes(("0.5", "1")), {}, 1, (1,)),
        (classes(("true", "false")), {"kind": "regression"}, 1, (1,)),
    ],
)
def test_the_kind_of_target(
    rows: list[str], options: dict[str, str], outputs: int, target_shape: tuple[int, ...], tmp_path: Path
) -> None:
    write(tmp_path, rows)
    dataset = csv(tmp_path, **options)
    assert dataset.outputs == outputs
    for split in dataset.splits.values():
        assert split.targets.shape[1:] == target_shape
        if outputs > 1:  # every class in every split, about as often as the others
            counts = split.targets.bincount(minlength=outputs)
            assert 0 <= counts.max() - counts.min() <= 1
            assert counts.min() > 0


def test_classes_are_numbered_in_order(tmp_path: Path) -> None:
    write(tmp_path, classes(("9", "30", "5")))
    splits = csv(tmp_path).splits
    everything = sorted(
        (float(x), int(y)) for part in splits.values() for x, y in zip(part.inputs, part.targets, strict=True)
    )
    assert [label for _, label in everything[:6]] == [1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (numbers(), {"target": "tarGet"}, r"has no column 'tarGet'; did you mean 'target'\?"),
        (numbers(), {"drop": "c"}, "has no column 'c'"),
        (numbers(), {"drop": ["a", "b", "flag", "one"]}, "has no column for a feature"),
        (["a,a,target", "1,2,3", "1,2,4", "1,2,5"], {}, "more than one column 'a'"),
        (["a,target"], {}, "has 0 rows"),
        ([""], {}, "is not a table"),
        (["a,target", "1,2", "1,2,3"], {}, "is not a table: .*Expected 2 columns, got 3"),
        ([*numbers(), "1,,true,1,2"], {}, "column 'b' has no value in row 41"),
        ([*numbers(), "1,nan,true,1,2"], {}, "column 'b' has no value in row 41"),
        ([*numbers(), "1,2,true,1,"], {}, "target 'target' has no value in row 41"),
        ([*numbers(), "1,inf,true,1,2"], {}, "column 'b' is inf in row 41"),
        ([*numbers(), "1,Paris,true,1,2"], {}, "column 'b' is not a number in row 41: 'Paris', and is one in row 1"),
        (
            ["a,target", *(f"{row % 3}x,{row}" for row in range(30)), "7,1"],
            {},
            "row 1: '0x', and is one in row 31: '7'",
        ),
        (["a,target", *(f"word {row},{row}" for row in range(9))], {}, "'a' is text with 9 different values in 9 rows"),
        (
            ["a,target", *(f"x{row % 101},{row}" for row in range(909))],
            {},
            "text with 101 different values in 909 rows",
        ),
        (["a,target", *(f"x{row % 2},{row}" for row in range(9)), " ,1"], {}, "column 'a' has no value in row 10"),
        (["a,target", *(f"x{row % 2},{row}" for row in range(9)), '"",1'], {}, "column 'a' has no value in row 10"),
        (
            ["a,b,target", *(f"1,2026-01-0{row},{row}" for row in range(1, 9))],
            {},
            "column 'b' is not a number in row 1",
        ),
        (numbers(), {"drop": "a/c"}, "has no column 'c'"),
        (numbers(), {"categories": "c"}, "has no column 'c'"),
        ([*numbers(), "2026-01-01,2,true,1,2"], {}, "column 'a' is not a number in row 41: '2026-01-01'"),
        (classes(("7",)), {}, "target 'target' is 7 in every row"),
        (classes(("yes",)), {}, "target 'target' is 'yes' in every row"),
        ([*numbers(), "1,-1e200,true,1,2"], {}, r"column 'b' is -1e\+200 in row 41"),
        (["a;target", "1;2", "1;3", "1;4"], {}, "';' between its values"),
        (["a\ttarget", "1\t2", "1\t3", "1\t4"], {}, r"'\\t' between its values"),
        (classes(("yes", "no")), {"kind": "regression"}, "target 'target' is not a number in row 1: 'yes'"),
        (classes(("0.5", "1")), {"kind": "classification"}, "holds fractions"),
        ([*classes(("yes", "no")), "1,maybe"], {}, "class 'maybe' is in fewer than 3 rows"),
    ],
)
def test_unusable_tables_are_refused(rows: list[str], options: dict[str, object], message: str, tmp_path: Path) -> None:
    path = write(tmp_path, rows)
    with pytest.raises(DataError, match=message) as refusal:
        csv(tmp_path, **options)  # type: ignore[arg-type]
    assert str(path) in refusal.value.message
    assert refusal.value.hint


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*table\.csv") as refusal:
        csv(tmp_path)
    assert "--set data.path" in refusal.value.hint
    with pytest.raises(ValueError, match="kind='clusters' must be one of auto, regression, classification"):
        csv(tmp_path, kind="clusters")
    with pytest.raises(UsageError, match="no option 'targt'; did you mean 'target'"):
        load_dataset(tasks.find("csv").spec(["data.targt=y"]), tmp_path)


def test_a_number_late_in_a_long_table_may_have_a_fraction(tmp_path: Path) -> None:
    """Arrow infers a column's type from its first block of a megabyte."""
    write(tmp_path, ["a,b,target", *(f"{'1' * 18},{row},{row}" for row in range(60_000)), "0.5,1,2"])
    assert len(csv(tmp_path).splits["train"]) == 42_001


def test_a_header_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, numbers())
    path.write_bytes(path.read_bytes().replace(b"flag", b"\xfclag"))
    with pytest.raises(DataError, match=r"the header of .*table\.csv is not UTF-8"):
        csv(tmp_path)


def test_held_out_rows() -> None:
    labels = np.array([0] * 40 + [1] * 20 + [2] * 3)
    test, val = hold_out(labels, 0.1, parts=2)
    assert not set(test) & set(val)
    for rows in (test, val):
        assert np.bincount(labels[rows]).tolist() == [4, 2, 1]
        assert (np.diff(rows) > 0).all()
    assert np.array_equal(test, hold_out(labels, 0.1, parts=1)[0])


def test_a_constant_column_becomes_zero() -> None:
    columns = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0], [5.0, 4.0]])
    standardised = standardise(columns, np.array([0, 1, 2]))
    assert standardised[:, 0].tolist() == [0, 0, 0, 0]
    assert standardised.dtype == np.float32


def towns(count: int = 40) -> list[str]:
    """A number, a column of three towns and one of two colours, and a target."""
    random = np.random.RandomState(0)
    names = [("Graz", "Linz", "Wien")[row % 3] for row in range(count)]
    return [
        "town,a,colour,target",
        *(f"{name},{random.standard_normal()},{('red', 'blue')[row % 2]},{row}.5" for row, name in enumerate(names)),
    ]


def told(dataset: Dataset) -> tuple[str, ...]:
    assert isinstance(dataset, Table)
    return dataset.notes


def by_target(dataset: Dataset) -> np.ndarray:
    """The inputs of all rows in the order of their targets."""
    parts = dataset.splits.values()
    targets = torch.cat([split.targets[:, 0] for split in parts])
    return torch.cat([split.inputs for split in parts])[targets.argsort()].numpy()


def test_text_becomes_one_input_per_category(tmp_path: Path) -> None:
    write(tmp_path, towns())
    dataset = csv(tmp_path)
    inputs = by_target(dataset)
    assert (inputs.shape, inputs.dtype) == ((40, 6), np.float32)
    for row, own in enumerate(inputs[:, 1:].tolist()):  # after the number: towns, then colours, both sorted
        assert own == [*np.eye(3)[row % 3], *np.eye(2)[[1, 0][row % 2]]]
    train = dataset.splits["train"].inputs
    assert abs(train[:, 0].mean()) < 1e-6
    assert told(dataset) == ("one-hot inputs: town 3, colour 2 (of 6 inputs)",)
    assert told(csv(tmp_path, drop="town/colour")) == ()


def test_text_counts_for_the_checksum(tmp_path: Path) -> None:
    rows = towns()
    write(tmp_path, rows)
    before = csv(tmp_path).checksum
    write(tmp_path, [row.replace("Linz", "Lienz") for row in rows])
    assert csv(tmp_path).checksum != before


def test_a_category_that_no_training_row_has_is_all_zeros_and_named(tmp_path: Path) -> None:
    rows = towns()
    write(tmp_path, rows)
    held_out = {name: hold_out(np.zeros(40, int), 0.15, 2)[place] for place, name in enumerate(("test", "val"))}
    for place, town in ((held_out["test"][0], "Enns"), (held_out["test"][1], "Rust"), (held_out["val"][0], "Enns")):
        rows[place + 1] = f"{town},{rows[place + 1].partition(',')[2]}"
    write(tmp_path, rows)
    dataset = csv(tmp_path)
    assert dataset.splits["test"].inputs[:2, 1:4].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert dataset.splits["test"].inputs[:2, 4:].sum(1).tolist() == [1, 1]
    first, second = told(dataset)
    assert first == "one-hot inputs: town 3, colour 2 (of 6 inputs)"
    assert second == (
        "town is 'Enns', 'Rust' in 1 row of val and 2 rows of test and in no training row: its inputs are all 0 there"
    )


def test_a_column_of_many_texts_is_refused_with_a_way_out(tmp_path: Path) -> None:
    write(tmp_path, ["who,a,target", *(f"person {row % 5000},{row % 7},{row}.5" for row in range(20_000))])
    with pytest.raises(DataError, match=r"column 'who' is text with 5,000 different values in 20,000 rows") as refusal:
        csv(tmp_path)
    assert "--set data.drop=who" in refusal.value.hint
    assert "--set data.categories=who" in refusal.value.hint
    assert csv(tmp_path, drop="who").splits["train"].inputs.shape == (14_000, 1)
    assert csv(tmp_path, categories="who").splits["train"].inputs.shape[1] > 4_900


@pytest.mark.parametrize("given", ["a/b", ["a", "b"]])
def test_numbers_may_be_categories(given: str | list[str], tmp_path: Path) -> None:
    write(tmp_path, ["a,b,target", *(f"{row % 2 + 10},{'7' if row % 3 else 'x'},{row}.5" for row in range(60))])
    dataset = csv(tmp_path, categories=given)
    assert by_target(dataset)[:3].tolist() == [[1, 0, 0, 1], [0, 1, 1, 0], [1, 0, 1, 0]]


def test_text_that_is_the_same_everywhere_becomes_zero(tmp_path: Path) -> None:
    write(tmp_path, ["a,b,target", *(f"AT,{row},{row}.5" for row in range(20))])
    dataset = csv(tmp_path)
    assert by_target(dataset)[:, 1].tolist() == [0] * 20
    assert told(dataset) == ("one-hot inputs: a 1 (of 2 inputs)",)


def test_text_with_classes(tmp_path: Path) -> None:
    write(tmp_path, ["town,target", *(f"{'AB'[row % 2]},{('yes', 'no', 'maybe')[row % 3]}" for row in range(60))])
    dataset = csv(tmp_path)
    assert (dataset.outputs, dataset.splits["train"].inputs.shape[1]) == (3, 2)
    assert isinstance(dataset, Table)
    assert dataset.target is None


def test_numbers_that_arrow_takes_for_text(tmp_path: Path) -> None:
    write(tmp_path, ["a,target", *(f"+{row % 5},{row}.5" for row in range(20))])
    plain = csv(tmp_path).splits["train"].inputs
    write(tmp_path, ["a,target", *(f"{row % 5},{row}.5" for row in range(20))])
    assert torch.equal(plain, csv(tmp_path).splits["train"].inputs)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        csv(tmp_path, ".")


def test_the_scale_of_the_target_undoes_it(tmp_path: Path) -> None:
    write(tmp_path, ["a,price", *(f"{row},{1000 * row + 500.5}" for row in range(40))])
    dataset = csv(tmp_path, target="price")
    assert isinstance(dataset, Table)
    assert dataset.target is not None
    assert dataset.target.name == "price"
    scaled = torch.cat([split.targets for split in dataset.splits.values()]).double().flatten().sort().values
    gaps = scaled.diff() * dataset.target.scale
    torch.testing.assert_close(gaps, torch.full_like(gaps, 1000.0), rtol=1e-4, atol=0)
