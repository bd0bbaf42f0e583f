"""One whole DroneDispatch on one machine: the table of its processes, and the commands that start, show and stop it."""
