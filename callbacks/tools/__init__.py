"""Commands that compare, draw and report what benchmarks measured."""
