"""Choice of benchmarks, runs of evaluations, studies, tables and figures."""
