"""The commands of mmvt: ``mmvt SUBCOMMAND``, or ``python -m mmvt_cli.SUBCOMMAND``."""
