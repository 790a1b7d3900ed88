import ray

# --- here the code of the page runs ---
assert options["resources_per_trial"].required_resources == {"CPU": 1.0}
