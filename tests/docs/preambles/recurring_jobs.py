from stand_ins import *

model, loader = build(64)
# --- here the code of the page runs ---
assert len(job.summary().runs) == 2
