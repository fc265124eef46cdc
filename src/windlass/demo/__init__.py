"""What `windlass demo` runs: the story of a video (`story`), and the same reliability on source files (`files`)."""
