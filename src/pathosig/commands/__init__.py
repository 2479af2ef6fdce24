"""The command line: its commands, the pipeline that runs all stages in order, and the exports."""
