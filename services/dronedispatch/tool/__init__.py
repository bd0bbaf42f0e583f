"""The tool: `dronedispatch orders`, `drones`, `zones`, `events`, `top`, `status`, `doctor`, `logs`, `dead-letters`."""
