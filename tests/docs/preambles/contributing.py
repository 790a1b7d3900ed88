# --- here the code of the page runs ---
from zeus_ray.carbon.open_signal import open_signal
from zeus_ray.carbon.providers.provider_registry import PROVIDERS
PROVIDERS["mygrid"] = "__main__:MyGrid"
signal = open_signal("mygrid:NORTH")
assert signal.refresh()
assert signal.at(signal.cached.fetched_s - 60.0) == 123.0
assert search.ask().batch_size == 32
