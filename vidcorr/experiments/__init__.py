"""Choice of benchmarks, the store of their results, studies, and runs of trainings."""
