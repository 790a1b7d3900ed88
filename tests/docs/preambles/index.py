# --- here the code of the page runs ---
assert searcher.best().batch_size in (16, 32, 64, 128, 256, 512)
assert report.trials[0].energy_j > 0
