"""OANDA as a broker: its v20 REST interface and streams."""
