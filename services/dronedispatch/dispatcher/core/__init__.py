"""The round: World in, Plan out. Pure."""
