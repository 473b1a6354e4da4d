"""Planning and monitoring of a loop: prices of regimes, forecasts from a pilot, alarms."""
