"""Exported files, read as a program without this package would."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from atjt_ext import JointTrainerConfig
from atjt_ext.cli.main import main
from atjt_ext.models import GRU4Rec
from atjt_ext.runs.build import load_models
from atjt_ext.runs.data import everything_known
from atjt_ext.runs.export import export_onnx, export_safetensors
from atjt_ext.training.joint_models import JointModels
from helpers.small_run import make_run
from helpers.tiny import LastItemModel, ScoreTable
from helpers.zoo import SEQUENCE_MODELS, shaken

IDS = [f"i{item}" for item in range(1, 21)]

needs_safetensors = pytest.mark.skipif(
    importlib.util.find_spec("safetensors") is None, reason="safetensors is not installed"
)


@pytest.fixture
def onnxruntime() -> Any:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        found = pytest.importorskip(name, reason=f"{name} is not installed")
    return found


def models_of(recommender: str | torch.nn.Module, **config: Any) -> JointModels:
    """Models of a recommender, or of the one with this name."""
    options = {"weighting": "equal", "max_length": 12, **config}
    model = shaken(recommender) if isinstance(recommender, str) else recommender
    return JointModels(model, config=JointTrainerConfig(**options))


def histories(rows: int, length: int) -> Tensor:
    """All lengths from none to ``length``, left-padded."""
    generator = torch.Generator().manual_seed(rows)
    made = torch.randint(1, 21, (rows, length), generator=generator)
    for row in range(rows):
        made[row, : length - row % (length + 1)] = 0
    return made


# ---- ONNX ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEQUENCE_MODELS)
def test_the_encoder_in_onnx_is_the_models(name: str, onnxruntime: Any, tmp_path: Path) -> None:
    models = models_of(name)
    paths = export_onnx(models, tmp_path, IDS, metadata={"model": name})
    assert [path.name for path in paths] == ["encoder.onnx", "item_table.npy", "item_ids.json"]
    session = onnxruntime.InferenceSession(paths[0])
    assert [one.name for one in session.get_inputs()] == ["sequences"]
    assert session.get_modelmeta().custom_metadata_map["model"] == name
    models.recommender.eval()
    for rows, length in ((3, 2), (1, 1), (14, 12), (9, 7)):
        sequences = histories(rows, length)
        (state,) = session.run(None, {"sequences": sequences.numpy()})
        with torch.no_grad():
            expected = models.recommender.encode(sequences)[:, -1].numpy()
        np.testing.assert_allclose(state, expected, rtol=0, atol=1e-5)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_array_equal(
        np.load(paths[1]), models.recommender.item_table().detach().numpy()
    )


def test_the_encoder_in_onnx_reads_inputs_under_weights(onnxruntime: Any, tmp_path: Path) -> None:
    models = models_of("sasrec", weighting="given", weights_act_on="inputs")
    path = export_onnx(models, tmp_path, IDS)[0]
    session = onnxruntime.InferenceSession(path)
    assert [one.name for one in session.get_inputs()] == ["sequences", "input_weight"]
    models.recommender.eval()
    sequences = histories(14, 12)
    weights = torch.rand(14, 12, generator=torch.Generator().manual_seed(1)).round(decimals=1)
    assert (weights == 0).any()
    for weight in (weights, torch.ones_like(weights)):
        feed = {"sequences": sequences.numpy(), "input_weight": weight.numpy()}
        (state,) = session.run(None, feed)
        with torch.no_grad():
            expected = models.recommender.encode(sequences, input_weight=weight)[:, -1]
            plain = models.recommender.encode(sequences)[:, -1]
        np.testing.assert_allclose(state, expected.numpy(), rtol=0, atol=1e-5)
        assert torch.allclose(expected, plain, atol=1e-5) == bool((weight == 1).all())


def test_gru4recs_last_state_is_that_of_encode() -> None:
    model = shaken("gru4rec", num_layers=2).eval()
    assert isinstance(model, GRU4Rec)
    with torch.no_grad():
        for rows, length in ((14, 12), (1, 1), (2, 5)):
            sequences = histories(rows, length)
            torch.testing.assert_close(
                model.last_state(sequences), model.encode(sequences)[:, -1], rtol=0, atol=1e-6
            )


def test_a_model_of_somebody_else_is_exported_too(onnxruntime: Any, tmp_path: Path) -> None:
    model = LastItemModel()
    path = export_onnx(models_of(model), tmp_path, IDS[:9])[0]
    (state,) = onnxruntime.InferenceSession(path).run(None, {"sequences": np.array([[3, 7]])})
    np.testing.assert_allclose(state[0], model.states[7].detach().numpy(), rtol=0, atol=1e-6)
    assert model.training


class Undecided(LastItemModel):
    """What it does depends on the data."""

    def encode(self, sequences: Tensor) -> Tensor:
        if int(sequences.sum()) > 5:
            return self.states[sequences]
        return 2 * self.states[sequences]


@pytest.mark.usefixtures("onnxruntime")
def test_what_torch_can_not_export_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"can't export the encoder of Undecided .*last_state"):
        export_onnx(models_of(Undecided()), tmp_path, IDS[:9])
    assert list(tmp_path.iterdir()) == []


# ---- safetensors --------------------------------------------------------------------------------


@needs_safetensors
@pytest.mark.parametrize("name", SEQUENCE_MODELS)
def test_tensors_rebuild_the_model(name: str, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file

    models = models_of(name)
    path, ids = export_safetensors(models, tmp_path, IDS, metadata={"model": name})
    assert json.loads(ids.read_text()) == [None, *IDS]
    tensors = load_file(path)
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    assert (metadata["model"], metadata["num_items"]) == (name, "20")
    assert (metadata["max_length"], metadata["weighs_inputs"]) == ("12", "false")
    assert metadata["item_table_is"] == "recommender.item_embedding.weight"
    assert metadata["item_table_is"] not in tensors
    table = models.recommender.item_table().detach().numpy()
    np.testing.assert_array_equal(tensors["item_table"], table)
    tensors[metadata["item_table_is"]] = tensors.pop("item_table")
    state = {name.removeprefix("recommender."): torch.from_numpy(t) for name, t in tensors.items()}
    other = shaken(name, seed=1)
    other.load_state_dict(state)
    sequences = histories(14, 12)
    assert torch.equal(other.eval().encode(sequences), models.recommender.eval().encode(sequences))


@needs_safetensors
def test_a_table_that_is_no_parameter_is_written_beside_them(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    class Projected(LastItemModel):
        def item_table(self) -> Tensor:
            return 2 * self.table

    model = Projected()
    tensors = load_file(export_safetensors(models_of(model), tmp_path, IDS[:9])[0])
    assert sorted(tensors) == ["item_table", "recommender.states", "recommender.table"]
    np.testing.assert_array_equal(tensors["item_table"], 2 * model.table.detach().numpy())


@needs_safetensors
def test_the_table_is_that_of_evaluation(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    class Dropped(LastItemModel):
        def item_table(self) -> Tensor:
            return torch.nn.functional.dropout(self.table, 0.5, self.training)

    model = Dropped()
    tensors = load_file(export_safetensors(models_of(model), tmp_path, IDS[:9])[0])
    np.testing.assert_array_equal(tensors["item_table"], model.table.detach().numpy())
    assert model.training


# ---- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("export", [export_onnx, export_safetensors])
def test_pointwise_models_are_refused(export: Any, tmp_path: Path) -> None:
    pointwise = models_of(ScoreTable(torch.zeros(3, 9)))
    with pytest.raises(ValueError, match="ScoreTable scores candidates one by one"):
        export(pointwise, tmp_path, IDS[:9])
    assert list(tmp_path.iterdir()) == []


@needs_safetensors
def test_other_ids_than_items_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="item_ids must hold 20 ids, got 9"):
        export_safetensors(models_of("gru4rec"), tmp_path, IDS[:9])


@pytest.mark.parametrize(
    ("export", "package"), [(export_onnx, "onnx"), (export_safetensors, "safetensors")]
)
def test_a_missing_package_is_named_with_the_way_to_get_it(
    export: Any, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"needs the package {package}: pip install 'atjt_ext\["):
        export(models_of("gru4rec"), tmp_path, IDS)


# ---- the command --------------------------------------------------------------------------------


def recommended(state: np.ndarray, folder: Path, seen: set[str], k: int) -> list[str]:
    """Plain numpy, on exported files."""
    ids = json.loads((folder / "item_ids.json").read_text())
    scores = np.load(folder / "item_table.npy") @ state
    order = np.argsort(-scores, kind="stable")
    return [ids[item] for item in order if item and ids[item] not in seen][:k]


def test_an_exported_run_recommends_what_the_run_does(onnxruntime: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", recipe="default", gate_auc=0.0)
    out = tmp_path / "out"
    assert main(["export", f"--run={run.folder}", f"--out={out}", "--format=onnx"]) == 0
    sequences = run.sequences()
    models = load_models(run, sequences)
    data = models.as_read(everything_known(sequences, torch.arange(sequences.num_users)))
    items, _ = models.recommend(data, k=5)
    (batch,) = data.batches(60, 10)
    assert batch.weights is not None
    assert ((batch.weights > 0) & (batch.weights < 1)).any()
    session = onnxruntime.InferenceSession(out / "encoder.onnx")
    assert json.loads(session.get_modelmeta().custom_metadata_map["config"])["recipe"] == "default"
    feed = {"sequences": batch.inputs.numpy(), "input_weight": batch.weights.numpy()}
    (states,) = session.run(None, feed)
    for user, state in enumerate(states):
        seen = set(sequences.decode_items(sequences.items_of(user)))
        assert recommended(state, out, seen, 5) == sequences.decode_items(items[user])


@needs_safetensors
def test_the_command_exports_tensors_unless_told_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file

    run = make_run(tmp_path / "run", model="s3rec")
    assert main(["export", f"--run={run.folder}", f"--out={tmp_path / 'out'}"]) == 0
    assert "model.safetensors: " in capsys.readouterr().out
    models = load_models(run, run.sequences(), reading=False)
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(tensors["item_table"], models.recommender.item_table())


def test_the_command_refuses_pointwise_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", model="din")
    assert main(["export", f"--run={run.folder}", f"--out={tmp_path / 'out'}"]) == 1
    assert "DIN scores candidates one by one and has no table" in capsys.readouterr().err
