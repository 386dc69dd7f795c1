"""Workers watch each other; what a silent one left is finished by another, once."""
