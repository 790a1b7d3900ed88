"""Forecasts of carbon intensity or price from its history."""
