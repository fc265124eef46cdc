"""The demo on source files: a job per file, three runtimes, a killed worker, every result compared with the truth."""
