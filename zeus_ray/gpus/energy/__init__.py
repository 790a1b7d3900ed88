"""Energy of one GPU (J): its counter, the integral of its power, and the phase of counter updates."""
