"""Forecasts of carbon intensity or price from history."""
