"""The hash of every optimizer, model, data source and loss, against the source and against what really runs."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FrameType

import pytest
import torch
from cases import runs_of
from PIL import Image

from lehi_cli.curvature import make_loss
from lehi_cli.data import loading
from lehi_cli.data.batches import reader
from lehi_cli.registry import optimizers, tasks
from lehi_cli.registry.built_in.losses import LOSSES
from lehi_cli.registry.built_in.models import MODELS
from lehi_cli.registry.built_in.sources import SOURCES
from lehi_cli.registry.code import closure, outline
from lehi_cli.registry.code.history import MOVED, REWRITTEN, first_name, place
from lehi_cli.registry.code.identity import exact_fingerprint, fingerprint, reach
from lehi_cli.registry.code.sources import Sources
from lehi_cli.registry.plugins import resolve
from lehi_cli.runs.specs import Budget, RunSpec
from lehi_cli.training.building import build_model
from lehi_cli.training.loop import train
from lehi_cli.training.steps import run_model

KNOWN = Sources()
FACTORIES = {record.name: record.factory for record in optimizers.BUILT_IN}
REFERENCES = sorted(
    {reference for reference in FACTORIES.values() if not reference.startswith("torch.optim:")}
    | {*SOURCES.values(), *MODELS.values(), *(reference for reference, _ in LOSSES.values()), *tasks.LOOP}
)


class Edited(Sources):
    """The modules as they are, but for some."""

    def __init__(self, edited: dict[str, outline.Outline]) -> None:
        super().__init__()
        self._edited = edited

    def outline(self, module: str) -> outline.Outline:
        return self._edited.get(module) or KNOWN.outline(module)


def source(module: str) -> bytes:
    path = KNOWN.path(module)
    assert path is not None
    return path.read_bytes()


def statements(tree: ast.Module) -> list[ast.stmt]:
    """The statements that are definitions, in the order of the outline."""
    return [one for one in outline._statements(tree.body) if not isinstance(one, ast.Import | ast.ImportFrom)]


def spoil(statement: ast.stmt) -> None:
    """Change what a statement does."""
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr | ast.AugAssign) and statement.value is not None:
        statement.value = ast.Tuple([statement.value, ast.Constant(0)], ast.Load())
    else:
        statement.body.append(ast.parse("spoiled = 0").body[0])  # type: ignore[attr-defined]


@cache
def spoilt(module: str, numbers: frozenset[int]) -> outline.Outline:
    tree = ast.parse(source(module))
    listed = statements(tree)
    for number in numbers:
        spoil(listed[number])
    return outline.outline(ast.unparse(ast.fix_missing_locations(tree)).encode())


def own(found: closure.Closure) -> set[tuple[str, int]]:
    return {(module, number) for module, number in found.reached if module.startswith("lehi_cli")}


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_definition_that_is_reached_counts(reference: str) -> None:
    found = reach(reference, KNOWN)
    before = fingerprint(found)
    assert found.reached
    for module, number in own(found):
        other = reach(reference, Edited({module: spoilt(module, frozenset({number}))}))
        assert fingerprint(other) != before, (module, KNOWN.outline(module).definitions[number].names)


@pytest.mark.parametrize("reference", REFERENCES)
def test_nothing_else_counts(reference: str) -> None:
    found = reach(reference, KNOWN)
    reached = own(found)
    edited = {}
    for module in {module for module, _ in reached}:
        others = set(range(len(KNOWN.outline(module).definitions))) - {n for m, n in reached if m == module}
        edited[module] = spoilt(module, frozenset(others))
    assert fingerprint(reach(reference, Edited(edited))) == fingerprint(found)


@pytest.mark.parametrize("reference", REFERENCES)
def test_comments_docstrings_and_layout_do_not_count(reference: str) -> None:
    found = reach(reference, KNOWN)
    edited = {}
    for module in {module for module, _ in own(found)}:
        tree = ast.parse(source(module))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                node.body.insert(0, ast.Expr(ast.Constant("Other words.")))
        edited[module] = outline.outline(b"# another comment\n" + ast.unparse(ast.fix_missing_locations(tree)).encode())
    assert fingerprint(reach(reference, Edited(edited))) == fingerprint(found)


@pytest.mark.parametrize(
    ("reference", "module", "name"),
    [
        ("lehi_cli.optim:LEHIBRID", "lehi_cli.optim.lehi", "_single_tensor_lehi"),
        ("lehi_cli.data.embedded:diabetes", "lehi_cli.data.tables", "standardise"),
        ("lehi_cli.models.resnet:resnet18", "lehi_cli.models.conv", "image_shape"),
        ("lehi_cli.data.text:ptb", "lehi_cli.data.tokens", "words"),
        ("lehi_cli.registry.adapters:Shampoo", "pytorch_optimizer.optimizer.shampoo", "ScalableShampoo"),
        ("lehi_cli.registry.adapters:Shampoo", "pytorch_optimizer.base.optimizer", "BaseOptimizer"),
        ("lehi_cli.registry.adapters:Prodigy", "prodigyopt.prodigy", "Prodigy"),
        ("schedulefree:SGDScheduleFree", "schedulefree.sgd_schedulefree", "SGDScheduleFree"),
        ("lehi_cli.training.loop:train", "lehi_cli.training.steps", "Evaluation"),
    ],
)
def test_code_of_other_modules_is_reached(reference: str, module: str, name: str) -> None:
    assert name in {name for where, one in reach(reference, KNOWN).definitions if where == module for name in one.names}


@pytest.mark.parametrize(
    ("reference", "module"),
    [
        ("lehi_cli.optim:LEHI", "lehi_cli.optim.sfn"),
        ("lehi_cli.optim:LEHI", "lehi_cli.curvature.cg"),
        ("lehi_cli.training.loop:train", "lehi_cli.runs.store"),
        ("lehi_cli.training.loop:train", "lehi_cli.render"),
        ("lehi_cli.training.loop:train", "lehi_cli.registry"),
        ("lehi_cli.training.loop:train", "lehi_cli.optim"),
    ],
)
def test_what_only_stands_beside_is_not(reference: str, module: str) -> None:
    assert not [found for found, _ in reach(reference, KNOWN).reached if found.startswith(module)]


def test_a_comment_changes_no_run() -> None:
    edited = outline.outline(b"# another comment\n" + source("lehi_cli.curvature.cg"))
    for name in ("lehi_cli.optim:LEHI", "lehi_cli.optim.hessian_free:HessianFree"):
        changed = reach(name, Edited({"lehi_cli.curvature.cg": edited}))
        assert fingerprint(changed) == fingerprint(reach(name, KNOWN))


def test_the_stored_splits_count() -> None:
    assert [path.name for path in reach("lehi_cli.data.embedded:digits", KNOWN).files] == ["splits.json"]
    assert not reach("lehi_cli.data.tables:csv", KNOWN).files


class Called:
    """The functions of this package that are called."""

    def __init__(self) -> None:
        self.codes: dict[CodeType, str] = {}

    def __enter__(self) -> Called:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code not in self.codes:
            self.codes[frame.f_code] = str(frame.f_globals.get("__name__", ""))

    def definitions(self) -> Iterator[tuple[str, int]]:
        """Where they are defined, as a closure says it; those that a dataclass makes have no place."""
        for code, module in self.codes.items():
            if module.startswith("lehi_cli") and code.co_name != "<module>" and Path(code.co_filename).is_file():
                yield module, number_of(module, code.co_firstlineno)


@cache
def spans(module: str) -> list[range]:
    """The lines of each definition, with its decorators."""
    return [
        range(min([one.lineno, *(d.lineno for d in getattr(one, "decorator_list", ()))]), (one.end_lineno or 0) + 1)
        for one in statements(ast.parse(source(module)))
    ]


def number_of(module: str, line: int) -> int:
    (number,) = (number for number, span in enumerate(spans(module)) if line in span)
    return number


def names(found: set[tuple[str, int]]) -> list[str]:
    return sorted(f"{module}:{','.join(KNOWN.outline(module).definitions[number].names)}" for module, number in found)


def is_aside(module: str) -> bool:
    return any(f"{module}.".startswith(f"{name}.") for name in closure.ASIDE)


def assert_all_reached(called: Called, references: list[str], least: int) -> None:
    reached = set().union(*(reach(reference, KNOWN).reached for reference in references))
    ran = {(module, number) for module, number in called.definitions() if not is_aside(module)}
    assert len(ran) >= least
    assert not names(ran - reached)


def trained(run: RunSpec, folder: Path) -> Called:
    """What is called in a run, once all of it is imported."""
    for reference in (*run.task.code, FACTORIES[run.optimizer.name]):
        resolve(place(reference))
    loading._load.cache_clear()
    with Called() as called:
        outcome = train(run, "cpu", folder, lambda _: None, lambda _: None)
    assert outcome.status == "ok"
    return called


def tried(run: RunSpec, folder: Path) -> Called:
    """What is called for the gradient of two rows of a task."""
    for reference in run.task.code:
        resolve(place(reference))
    loading._load.cache_clear()
    with Called() as called:
        data = loading.load_dataset(run.task, folder)
        model = build_model(run, data, "cpu")
        inputs, targets = next(reader(data.splits["train"], 2, data.window).in_order())
        if data.augment is not None:
            inputs = data.augment(inputs, torch.Generator())
        if data.prepare is not None:
            inputs, targets = data.prepare(inputs, targets)
        outputs, _ = run_model(model, inputs, None)
        make_loss(run.task.loss)(outputs, targets if targets.is_floating_point() else targets.long()).backward()
    return called


@pytest.mark.parametrize("name", FACTORIES)
def test_all_that_an_optimizer_runs_counts(name: str, tmp_path: Path) -> None:
    (run,) = runs_of(name, budget=Budget("steps", 12))
    assert_all_reached(trained(run, tmp_path), [FACTORIES[name], *map(place, run.task.code)], least=25)


REAL = ("digits", "breast_cancer", "diabetes", "quadratic", "markov")
"""Tasks whose data is always at hand."""
VARIANTS = [
    (record.name, variant) for record in tasks.load() for variant in ("", *record.spec().variants.get("model", {}))
]


def planned(name: str, variant: str) -> RunSpec:
    overrides = [f"model={variant}"] if variant else []
    (run,) = runs_of("adam", task=name, budget=Budget("steps", 1), overrides=overrides, fake=name not in REAL)
    return run


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_all_that_a_task_runs_counts(name: str, variant: str, tmp_path: Path) -> None:
    run = planned(name, variant)
    assert_all_reached(tried(run, tmp_path), [*map(place, run.task.code)], least=8)


def test_every_model_is_in_a_task() -> None:
    assert {planned(name, variant).task.model["kind"] for name, variant in VARIANTS} == set(MODELS.values())


def table(folder: Path) -> dict[str, object]:
    (folder / "table.csv").write_text("x,y\n" + "".join(f"{n},{n % 7}.5\n" for n in range(100)))
    return {"path": "table.csv", "target": "y"}


def prose(folder: Path) -> dict[str, object]:
    (folder / "text.txt").write_text("one two three four\n" * 200)
    return {"path": "text.txt", "length": 4}


def pictures(folder: Path) -> dict[str, object]:
    for number in range(20):
        place = folder / "images" / f"class{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 8), (number, 0, 0)).save(place / f"{number}.png")
    return {"path": "images", "size": 8}


OWN = {
    "csv": (table, {}),
    "text by characters": (prose, {"level": "char"}),
    "text by bytes": (prose, {"level": "byte"}),
    "text by words": (prose, {"level": "word"}),
    "imagefolder": (pictures, {}),
}


@pytest.mark.parametrize("case", OWN)
def test_all_that_reads_a_users_data_counts(case: str, tmp_path: Path) -> None:
    make, options = OWN[case]
    reference = SOURCES[case.partition(" ")[0]]
    load = resolve(reference)
    given = {**make(tmp_path), **options}
    with Called() as called:
        data = load(tmp_path, **given)
    assert set(data.splits) == {"train", "val", "test"}
    assert_all_reached(called, [reference], least=5)


def test_names_in_identities_lead_to_the_code_and_back() -> None:
    for reference in tasks.LOOP:
        assert place(first_name(reference)) == reference
    for module in MOVED:
        assert Sources().path(module) is not None, f"{module} is not there any more: mend or delete its entry"


def test_every_entry_about_rewritten_code_is_about_code_that_is_there() -> None:
    """Whoever changes what such code computes deletes its entry: the runs get new ids, as they should."""
    references = {*tasks.LOOP, *SOURCES.values(), *MODELS.values(), *(reference for reference, _ in LOSSES.values())}
    found = {exact_fingerprint(reach(reference, Sources())) for reference in references}
    assert found >= REWRITTEN.keys(), f"no code has these hashes: {sorted(REWRITTEN.keys() - found)}"
