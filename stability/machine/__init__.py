"""The computer: machine code, and the folder of files that can be made again."""
