from stand_ins import *

start_ray()
# --- here the code of the page runs ---
assert searcher.best().batch_size in (8, 16, 32, 64, 128, 256)
