"""One run as a folder, and as a command: files, options, figures, processors."""
