"""The coordinator of the store: hashing, in-sync sets, read-repair, hinted handoff, CAS, locks, scans."""
