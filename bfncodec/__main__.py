"""python -m bfncodec."""

from bfncodec.cli.main import run

run()
