"""The simulated fleet: registers its drones, flies, drains and charges them."""
