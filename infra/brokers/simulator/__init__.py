"""A hostile stand-in for OANDA's v20 API: the same wire format, over HTTP, on loopback."""
