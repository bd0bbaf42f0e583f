"""DroneDispatch: delivery orders for a city, flown by a simulated fleet, on a store that never lies."""
