"""The motion of drones: state in, Tick out. Pure."""
