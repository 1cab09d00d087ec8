"""The command line: one file a command, installed as tclip.cli."""
