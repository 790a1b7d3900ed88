from stand_ins import *

write_grid("grid.csv")
start_ray()
# --- here the code of the page runs ---
assert signal.at(time.time()) == 100
assert elastic.emissions.signal.endswith("/grid.csv")
assert result.best_result["zeus/carbon_g"] > 0
