"""What each `fupan` command does; `appliance/cli.py` names them."""
