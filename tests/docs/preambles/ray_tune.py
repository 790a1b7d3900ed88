from stand_ins import *

start_ray()
# --- here the code of the page runs ---
assert answer.batch_size == best.batch_size
assert verified.default_metrics
