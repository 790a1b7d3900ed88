"""A training command: ``trainer.py BATCH_SIZE [HOW]`` prints its accuracy. Not a test."""

# ruff: noqa: T201 — a training prints

import json
import signal
import sys
import time
from pathlib import Path

from jobs import curve

size, how = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
if how == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("lr", sys.argv[3], flush=True)
if how == "late":
    time.sleep(2)
for epoch in range(1, 41):
    time.sleep({"slow": 0.2, "late": 0.05}.get(how, 0.01))
    accuracy = curve(epoch, size)
    if how == "fails" and epoch == 3:
        sys.exit(7)
    if how == "memory" and size > 64:
        print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 80 GiB", file=sys.stderr)
        sys.exit(1)
    if how.startswith("file:"):
        Path(how[5:]).write_text(json.dumps({"epoch": epoch, "accuracy": accuracy}))
        time.sleep(1.1)  # slower than the file is read
    elif how == "silent":
        break
    else:
        print(f"epoch {epoch} loss: 0.1 accuracy={accuracy:.4f} val_accuracy=0.0", flush=True)
if how == "sleeps":
    time.sleep(60)
print("saved", flush=True)
