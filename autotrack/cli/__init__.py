"""The command line: one small file per command. Results go to stdout, words to stderr."""
