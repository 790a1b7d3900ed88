"""GPUs of every source, NVML, zeusd, simulated and replayed, with one protocol."""
