"""The supervisors that are measured, procrun among them: one file each."""
