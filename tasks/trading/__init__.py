"""From a signal to a fill; knows neither Prefect nor research."""
