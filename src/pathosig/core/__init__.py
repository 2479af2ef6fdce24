"""The foundation of every stage: errors, specs, the study folder, records, execution and plug-ins."""
