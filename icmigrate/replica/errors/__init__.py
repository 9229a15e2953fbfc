"""Interface Specification, "Error codes": how calls fail, with the texts of the IC's own replica."""
