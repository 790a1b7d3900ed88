from stand_ins import *

model, loader = build(64)
# --- here the code of the page runs ---
assert run.stop == "target reached"
assert row["zeus/energy_j"] > 0
assert 100 <= row["zeus/power_limit_w"] <= 250
