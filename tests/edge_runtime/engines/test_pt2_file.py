"""A .pt2 file is read as data: what would run code, or is no program, is refused in one line."""

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hiertk_edge.engines.aten_operators import OPERATORS
from hiertk_edge.engines.pt2_file import read_graph
from hiertk_edge.engines.torch_program import INFER, STEP, GraphRunner
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError

GRAPH = "infer/models/model.json"


@pytest.fixture
def program(bundle_of: Callable[[str], Bundle], tmp_path: Path) -> Path:
    """A copy of an inference program, to be changed."""
    path = tmp_path / "infer.pt2"
    path.write_bytes(bundle_of("torch").path(INFER).read_bytes())
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, content: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def edit(path: Path, change: Callable[[Any], object]) -> None:
    content = members(path)
    model = json.loads(content[GRAPH])
    change(model)
    write(path, content | {GRAPH: json.dumps(model).encode()})


def refusal(path: Path) -> str:
    with pytest.raises(BundleError) as raised:
        GraphRunner(path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def nodes(model: Any) -> Any:
    return model["graph_module"]["graph"]["nodes"]


class RunsCode:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('a pickle was run')",))


def test_a_program_holds_no_pickle_and_nothing_of_this_machine(
    bundle_of: Callable[[str], Bundle],
) -> None:
    for name in (STEP, INFER):
        content = members(bundle_of("torch").path(name))
        assert not any(data for name, data in content.items() if name.endswith((".pt", ".pkl")))
        assert not any(b"/site-packages/" in data or b".py" in data for data in content.values())


def test_pytorch_reads_the_same_program(bundle_of: Callable[[str], Bundle]) -> None:
    """It is PyTorch's own format: another tool may take it for what it is."""
    path = bundle_of("torch").path(INFER)
    program = torch.export.load(path)
    shapes = [node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder"]
    inputs = [
        torch.rand([3 if isinstance(size, torch.SymInt) else int(size) for size in shape])
        for shape in shapes
    ]
    wanted = program.module()(*inputs)
    got = GraphRunner(path).run(inputs)
    assert all(torch.equal(one, other) for one, other in zip(got, wanted, strict=True))


def test_pickled_members_are_never_opened(program: Path) -> None:
    bomb = pickle.dumps(RunsCode())
    content = {name: bomb if "/data/" in name else data for name, data in members(program).items()}
    write(program, content | {"infer/data/sample_inputs/model.pt": bomb, "infer/data.pkl": bomb})
    assert read_graph(program).calls


@pytest.mark.parametrize(
    "operator",
    [
        "torch.load",
        "torch.hub.load",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.add_.Tensor",
        "torch.ops.higher_order.cond",
        "torch.ops.aten.relu.default.__class__",
        "_operator.attrgetter",
        "_operator.methodcaller",
        "math.sqrt",
        "builtins.exec",
        "#extension:f",
        "",
    ],
)
def test_other_operators_are_refused(program: Path, operator: str) -> None:
    def name(model: Any) -> None:
        nodes(model)[0]["target"] = operator

    edit(program, name)
    assert "is not allowed" in refusal(program)


def test_every_operator_of_the_list_exists_and_changes_nothing() -> None:
    for name in sorted(OPERATORS):
        if name.startswith("_operator."):
            continue
        _, _, space, operator, overload = name.split(".")
        schema = getattr(getattr(getattr(torch.ops, space), operator), overload)._schema
        assert not schema.is_mutable, name
        strings = [one for one in schema.arguments if one.type.isSubtypeOf(torch.StringType.get())]
        assert not strings or operator.startswith("gelu"), name


@pytest.mark.parametrize(
    "argument",
    [
        {"as_string": "x"},
        {"as_expr": "__import__('os').system('true')"},
        {"as_graph": {}},
        {"as_custom_obj": {"name": "x", "class_fqn": "os.system"}},
        {"as_device": {"type": "cuda", "index": 0}},
        {"as_tensor": {"name": "not there"}},
        {"as_int": "1"},
        {"as_ints": 7},
        {"as_scalar_type": 99},
        {"as_scalar_type": []},
        {"as_int": 1, "as_none": True},
        {},
        None,
    ],
)
def test_arguments_that_are_no_numbers_or_results_are_refused(
    program: Path, argument: object
) -> None:
    def replace(model: Any) -> None:
        nodes(model)[0]["inputs"][0]["arg"] = argument

    edit(program, replace)
    assert str(program) in refusal(program)


def test_a_result_that_is_used_before_it_is_there_is_refused(program: Path) -> None:
    edit(program, lambda model: nodes(model).reverse())
    assert "is used before it is there" in refusal(program)


def test_an_output_that_is_never_computed_is_refused(program: Path) -> None:
    def rename(model: Any) -> None:
        model["graph_module"]["graph"]["outputs"][0]["as_tensor"]["name"] = "nothing"

    edit(program, rename)
    assert "an output is never computed" in refusal(program)


def test_another_schema_is_refused(program: Path) -> None:
    edit(program, lambda model: model["schema_version"].update(major=9))
    assert "schema version 9 is not 8" in refusal(program)


def test_operands_that_do_not_fit_are_one_line(program: Path) -> None:
    runner = GraphRunner(program)
    inputs = [torch.zeros(1) for _ in runner._graph.inputs]
    with pytest.raises(BundleError, match=r"infer\.pt2: torch\.ops\.aten\.\S+ fails: ") as raised:
        runner.run(inputs)
    assert "\n" not in str(raised.value)
    with pytest.raises(BundleError, match="values, the bundle has 1"):
        runner.run(inputs[:1])


@pytest.mark.parametrize("keep", [0, 10, 1000, 10_000])
def test_a_truncated_program_is_refused(program: Path, keep: int) -> None:
    data = program.read_bytes()
    assert len(data) > keep
    program.write_bytes(data[:keep])
    assert "is not a program of PyTorch's" in refusal(program)


@pytest.mark.parametrize("data", [b"", b"not json", b"[]", b"{}", b"[" * 100_000, b"\xff"])
def test_a_graph_that_is_none_is_refused(program: Path, data: bytes) -> None:
    write(program, members(program) | {GRAPH: data})
    assert "is not a program of PyTorch's" in refusal(program)


def test_two_graphs_or_none_are_refused(program: Path) -> None:
    content = members(program)
    write(program, content | {"other/models/model.json": content[GRAPH]})
    assert "2 graphs" in refusal(program)
    write(program, {"infer/version": b"1"})
    assert "0 graphs" in refusal(program)


def test_a_graph_that_would_fill_the_memory_is_refused(program: Path) -> None:
    write(program, {GRAPH: b" " * ((16 << 20) + 1)}, zipfile.ZIP_DEFLATED)
    assert program.stat().st_size < 100_000
    assert "a graph of more than 16777216 bytes" in refusal(program)
    write(program, members(program), zipfile.ZIP_BZIP2)
    assert "another method than deflate" in refusal(program)


def test_a_missing_program_is_one_line(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "train.pt2")
