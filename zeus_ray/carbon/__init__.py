"""Carbon intensity or price over time, and what to do about it: pure arithmetic but for the providers."""
