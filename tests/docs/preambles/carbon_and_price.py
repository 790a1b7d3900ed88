from stand_ins import *
write_grid("grid.csv")
# --- here the code of the page runs ---
assert 300 <= signal.at(time.time()) <= 450
assert elastic.emissions.signal == "csv:grid.csv"
