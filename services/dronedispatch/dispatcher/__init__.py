"""Matches orders and drones: one active, others stand by."""
