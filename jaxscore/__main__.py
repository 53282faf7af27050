"""`python -m jaxscore` is `jaxscore`."""

from jaxscore.cli.app import main

main()
