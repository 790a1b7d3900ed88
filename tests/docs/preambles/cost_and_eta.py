# --- here the code of the page runs ---
assert (fast, slow) == (24_000, 17_160)
assert (cost(fast_j, 100, eta=0.5, max_power_w=250), cost(slow_j, 120, eta=0.5, max_power_w=250)) == (
    24_500,
    23_580,
)
assert cost(slow_j, 120, eta=0.0, max_power_w=250) == 30_000
