"""One Prefect flow a file: the verbs a user runs and sees in the UI."""
