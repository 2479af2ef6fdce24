"""What a user types: the commands, the pipeline that runs stages in order, exports."""
