"""What buyers report of a lead after its post: delivered, converted, returned; and what that changes."""
