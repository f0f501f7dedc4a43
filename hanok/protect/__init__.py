"""Sealed deliveries, fingerprints of recipients, recognition of clones, a record that nobody can alter."""
