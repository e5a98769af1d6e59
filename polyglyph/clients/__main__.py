"""`python -m polyglyph.clients`: the command line, for when its script is not on the path."""

from polyglyph.clients.commands import main

if __name__ == "__main__":
    main()
