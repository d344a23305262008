"""The command line for the years after the first `up`: `reverse-tunnel COMMAND`."""
