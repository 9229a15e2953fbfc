"""The networks that a command can work on, and how their canisters are found there."""
