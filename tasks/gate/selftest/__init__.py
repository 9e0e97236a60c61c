"""The harness judges itself: on bars whose truth is known, and with leaks that were planted."""
