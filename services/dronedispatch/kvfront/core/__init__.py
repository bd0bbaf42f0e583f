"""What a coordinator decides: operations as generators that ask for calls. Pure."""
