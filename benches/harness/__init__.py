"""The machinery of the side-by-side benchmark: what measures, not what is measured."""
