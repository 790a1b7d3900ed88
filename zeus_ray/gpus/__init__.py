"""GPUs behind one protocol: NVML, zeusd, simulated and replayed."""
