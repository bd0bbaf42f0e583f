"""The business vocabulary: positions, drones, deliveries, energy, city, documents, messages. Pure."""
