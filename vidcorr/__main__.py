"""`python -m vidcorr`: the console script `vidcorr`."""

from .commands import main

if __name__ == "__main__":
    main()
