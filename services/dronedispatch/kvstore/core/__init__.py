"""What a replica decides, as functions of a transaction. Pure."""
