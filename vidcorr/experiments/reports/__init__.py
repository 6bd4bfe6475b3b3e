"""Reports: evaluations, studies, tables, figures and cards, made from runs and stored results."""
