"""Executing one message on one canister, all of it or nothing."""
