import sys, types
from stand_ins import *

sys.modules["mlflow"] = types.ModuleType("mlflow")  # not installed here
logged = []
log = logged.append
model, loader = build(64)
# --- here the code of the page runs ---
assert logged[0]["zeus/energy_j"] > 0
assert open("power.parquet", "rb").read(4) == b"PAR1"
