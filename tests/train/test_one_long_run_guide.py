"""The guide's snippets train: in one process, or as two under torchrun, on simulated GPUs."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("torch")

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "one_long_run.md").read_text()
ALONE = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
TORCHRUN = re.findall(r'```python title="under torchrun"\n(.*?)```', GUIDE, re.DOTALL)
NAMES = ["ddp", "accelerate", "lightning", "transformers"]
NEEDS = {"ddp": "torch", "accelerate": "accelerate", "lightning": "lightning", "transformers": "transformers"}

PREAMBLE = """
import itertools, json, os, sys
import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
import zeus_ray as zeus

torch.set_num_threads(1)
data = TensorDataset(torch.rand(2048, 4), torch.rand(2048, 1))
loader = DataLoader(data, 64)
batches = itertools.cycle(loader)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
optimizer_steps = 0

def train_step(model, optimizer, batch):
    optimizer.zero_grad()
    loss = (model(batch[0]) - batch[1]).square().mean()
    loss.backward()
    optimizer.step()
    return float(loss)
"""
SETTINGS = {
    "ddp": "",
    "accelerate": "from accelerate import Accelerator\n",
    "lightning": """
import lightning.pytorch as L
settings = dict(accelerator="cpu", strategy="ddp", logger=False, enable_checkpointing=False)
settings |= dict(enable_progress_bar=False, enable_model_summary=False)

class Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def training_step(self, batch, _index):
        return (self.layer(batch[0]) - batch[1]).square().mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)
""",
    "transformers": """
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
settings = dict(use_cpu=True, ddp_backend="gloo", report_to=[], save_strategy="no", disable_tqdm=True)
small = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
text_model = BertForSequenceClassification(BertConfig(vocab_size=16, max_position_embeddings=8, **small))
texts = [{"input_ids": torch.full((4,), i % 16), "labels": torch.tensor(i % 2)} for i in range(512)]
""",
}
CHECK = """
row["held"] = run._limit._held_w
with open(f"rank-{os.environ.get('RANK', 0)}.json", "w") as file:
    json.dump(row, file)
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
"""


def run_script(tmp_path, text, *launcher):
    script = tmp_path / "train.py"
    script.write_text(text)
    env = {
        **os.environ,
        "ZEUS_RAY_GPU": "simulated:V100",
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "CUDA_VISIBLE_DEVICES": "",
    }
    errors = tmp_path / "stderr"
    with errors.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *launcher, script],
            env=env,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=file,
            start_new_session=True,
        )
        try:
            assert process.wait(240) == 0, errors.read_text()[-4000:]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    rows = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("rank-*.json"))]
    return rows, errors.read_text()


def torchrun():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    return "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port


def test_the_loops_of_one_process_train(tmp_path):
    (row,), _errors = run_script(tmp_path, "\n".join([PREAMBLE, *ALONE, CHECK]))
    assert row["zeus/units"] == row["zeus/epochs"] * 32 == 96
    assert row["zeus/energy_per_unit_j"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_under_torchrun_two_processes_decide_together(tmp_path, name):
    pytest.importorskip(NEEDS[name])
    snippet = TORCHRUN[NAMES.index(name)].replace("group()", 'group("gloo")')
    snippet += "    row = run.measure({})\n"  # still within the session
    text = "\n".join([PREAMBLE, SETTINGS[name], snippet, CHECK])
    (first, second), errors = run_script(tmp_path, text, *torchrun())
    assert first["held"] == second["held"]
    assert first["zeus/unit_profile"] == second["zeus/unit_profile"] != "[]"
    assert (first["zeus/units"], first["zeus/epochs"]) == (96, 3)
    assert first["zeus/energy_j"] == pytest.approx(second["zeus/energy_j"], rel=0.05)
    assert errors.count("no limit is set") == 0


def test_each_snippet_is_a_few_lines():
    for snippet in (*ALONE, *TORCHRUN):
        ours = [line for line in snippet.splitlines() if re.search(r"zeus|\brun\.|\bZeus", line)]
        assert len(ours) <= 5
