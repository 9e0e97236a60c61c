"""What is known of the world before any bar is read: instruments, calendar, quotes."""
