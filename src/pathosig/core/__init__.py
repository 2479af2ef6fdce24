"""What every stage stands on: errors, specs, the study folder, records, execution, plug-ins."""
