"""What shows that hub and personal canister hold the same capsule, and serve it alike."""
