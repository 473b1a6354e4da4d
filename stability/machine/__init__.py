"""The computer: machine code, and folders for what can be made again."""
